import { dialChannel, workerDialect, type WorkerChannel } from "../channel/index.ts";
import { readSecretFile, type ConnectorSettings } from "../config/index.ts";
import type { SallyportError } from "../errors.ts";
import { createLog, type Log } from "../log.ts";
import { createConnector, type Connector } from "../tunnel/index.ts";
import { TunnelEnd } from "../uplink/index.ts";
import { readWorkerIdentity } from "../worker/index.ts";
import { holdFolder } from "../hold.ts";
import { live, type RoleHost } from "./life.ts";
import { anyWay, openTunnelFile } from "./live-tunnel.ts";

/** One tunnel, offered to every hub that is named. */
export async function runConnector(settings: ConnectorSettings, host: RoleHost): Promise<number> {
  const log = createLog({ level: settings.logLevel });
  const { stateDir, hubs, tunnelFile, drainMs } = settings;
  await using stack = new AsyncDisposableStack();
  stack.use(await holdFolder(stateDir, "connector"));
  const { workerId, bootId } = await readWorkerIdentity(stateDir);
  const connectorId = workerId.replace(/^worker-/, "connector-");
  const ends = hubs.map(() => stack.use(new TunnelEnd({ log })));
  const use = { file: tunnelFile, need: "connector", connector: connectorId, peer: anyWay(ends) } as const;
  const { tunnel, offer } = stack.use(await openTunnelFile(use, { host, log }));
  const connectors = hubs.map((hub, at) => {
    const end = ends[at] as TunnelEnd;
    end.offer(offer);
    const dial = (signal: AbortSignal): Promise<WorkerChannel> => dialHub(hub, { settings, log, signal });
    const options = { connectorId, bootId, version: host.version };
    return stack.use(createConnector({ dial, end, log: log.child({ hub }) }, options));
  });
  const ready = connectors.map((connector) => new Promise<void>((told) => connector.onReady(told)));
  void Promise.race(ready).then(() => {
    const routes = tunnel.routes().map(({ host: name }) => name);
    host.announce({ event: "ready", connector: connectorId, routes });
  });
  return await live(lifeOf(connectors), { host, log, drainMs });
}

function lifeOf(connectors: readonly Connector[]): Parameters<typeof live>[0] {
  return {
    over: Promise.all(connectors.map((connector) => connector.run())).then(() => undefined),
    drain: async () => {
      await Promise.all(connectors.map((connector) => connector.drain()));
    },
    abort: (reason: SallyportError) => {
      for (const connector of connectors) connector.abort(reason);
    },
  };
}

/** The token is read anew, so that one that was changed is used from the next dial on. */
async function dialHub(
  url: string,
  { settings, log, signal }: { settings: ConnectorSettings; log: Log; signal: AbortSignal },
): Promise<WorkerChannel> {
  const token = readSecretFile(settings.tokenFile, "token");
  return await dialChannel({ url, token, dialect: workerDialect, log, signal });
}
