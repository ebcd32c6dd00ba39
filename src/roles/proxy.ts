/** The tunnel's proxy alone: inner TLS in WebSockets on the listener of the documented file. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { deferred } from "../async/index.ts";
import { acceptByteStreams } from "../channel/index.ts";
import { readCredential, readTunnelFile, type ProxySettings } from "../config/index.ts";
import { createLog, type Log } from "../log.ts";
import { openTunnel, TunnelFigures, watchFiles, type Tunnel, type TunnelConfig } from "../tunnel/index.ts";
import { live, type RoleHost } from "./life.ts";
import { listenOn } from "./listen-on.ts";
import { serveTunnelStatus } from "./tunnel-status.ts";

/** `ms` between two looks at the file */
const fileMs = 1_000;

export async function runProxy(settings: ProxySettings, host: RoleHost): Promise<number> {
  const options = { need: "proxy", tunnelDomain: settings.tunnelDomain } as const;
  const readConfig = (): Promise<TunnelConfig> => readTunnelFile(settings.file, options);
  const config = await readConfig();
  const log = createLog({ level: config.logLevel });
  const figures = new TunnelFigures();
  await using tunnel = await openTunnel(
    // replicas have one name, since each reaches the upstreams that all of them share
    { log, figures, readConfig, readSecret: readCredential, connector: "proxy" },
    config,
  );
  await using listener = await listen(tunnel, config);
  await using _status = await serveTunnelStatus(config.metrics, { tunnel, figures });
  await using _file = watchFiles(() => [config.file], {
    everyMs: fileMs,
    changed: () => reload(tunnel, log),
  });
  using _hangups = host.watchHangups(() => void reload(tunnel, log));
  host.announce({ event: "ready", listen: listener.address });
  const over = deferred<void>();
  const role = {
    over: over.promise,
    drain: async () => {
      listener.server.close();
      await tunnel.drain(config.shutdownTimeoutMs);
      over.resolve();
    },
    abort: () => over.resolve(),
  };
  return await live(role, { host, log });
}

interface Listener extends AsyncDisposable {
  readonly server: Server;
  readonly address: string;
}

async function listen(tunnel: Tunnel, config: TunnelConfig): Promise<Listener> {
  const server = createServer();
  const streams = acceptByteStreams(server, (bytes, peer) => tunnel.serve(bytes, { peer }));
  await listenOn(server, config.listen ?? { host: "127.0.0.1", port: 0 });
  const { address, port } = server.address() as AddressInfo;
  return {
    server,
    address: `${address.includes(":") ? `[${address}]` : address}:${port}`,
    [Symbol.asyncDispose]: async () => {
      await streams[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A file that does not hold keeps the old one. */
async function reload(tunnel: Tunnel, log: Log): Promise<void> {
  try {
    await tunnel.reload();
    log.info({}, "routes reloaded");
  } catch (error) {
    log.error({ err: error }, "file not reloaded; the old one stays");
  }
}
