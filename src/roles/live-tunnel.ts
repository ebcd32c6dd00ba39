/** The tunnel of one file, which is read again when it changes or on SIGHUP. */
import { readCredential, readTunnelFile } from "../config/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import {
  openTunnel,
  TunnelFigures,
  watchFiles,
  type RemoteWay,
  type Tunnel,
  type TunnelConfig,
} from "../tunnel/index.ts";
import type { TunnelOffer } from "../uplink/index.ts";
import type { RoleHost } from "./life.ts";
import { serveTunnelStatus } from "./tunnel-status.ts";

export interface TunnelFileUse {
  file: string;
  /** `worker` serves its own sandboxes at least, `connector` others only */
  need: "worker" | "connector";
  /** Names this connector; the same over its lives */
  connector: string;
  /** The way to other connectors of the same routes */
  peer: Pick<RemoteWay, "open">;
}

/** `ms` between two looks at the file */
const fileMs = 1_000;

/** Throws `config_invalid`, naming file and line. */
export async function openTunnelFile(
  { file, need, connector, peer }: TunnelFileUse,
  { host, log }: { host: Pick<RoleHost, "watchHangups">; log: Log },
): Promise<{ tunnel: Tunnel; offer: TunnelOffer } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const readConfig = (): Promise<TunnelConfig> => readTunnelFile(file, { need });
  const config = await readConfig();
  const figures = new TunnelFigures();
  const parts = { log, figures, readConfig, readSecret: readCredential, connector, peer };
  const tunnel = stack.use(await openTunnel(parts, config));
  stack.use(await serveTunnelStatus(config.metrics, { tunnel, figures }));
  const reload = (): Promise<void> => reloadTunnel(tunnel, { file, log });
  stack.use(watchFiles(() => [file], { everyMs: fileMs, changed: reload }));
  stack.use(host.watchHangups(() => void reload()));
  const owned = stack.move();
  return {
    tunnel,
    offer: {
      // told also where only this worker's own sandboxes can use them: jobs may name them
      routes: () => tunnel.routes(),
      onChange: (listener) => tunnel.onChange(listener),
      serve: (bytes, caller) => tunnel.serve(bytes, caller),
      drain: () => tunnel.drain(config.shutdownTimeoutMs),
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A file that does not hold keeps the old one. */
async function reloadTunnel(tunnel: Tunnel, { file, log }: { file: string; log: Log }): Promise<void> {
  const before = hostsOf(tunnel);
  try {
    await tunnel.reload();
  } catch (error) {
    log.error({ file, err: error }, "tunnel file not usable, keeping the routes read before");
    return;
  }
  const after = hostsOf(tunnel);
  const added = after.filter((host) => !before.includes(host));
  const removed = before.filter((host) => !after.includes(host));
  log.info({ file, added, removed, routes: after.length }, "tunnel file read again");
}

function hostsOf(tunnel: Tunnel): string[] {
  return tunnel.routes().map(({ host }) => host);
}

/** The first of several ways that reaches a host. */
export function anyWay(ways: readonly Pick<RemoteWay, "open">[]): Pick<RemoteWay, "open"> {
  return {
    open: async (target, signal) => {
      let last: unknown = new SallyportError("route_unavailable", "there is no hub to ask");
      for (const way of ways) {
        try {
          return await way.open(target, signal);
        } catch (error) {
          signal.throwIfAborted();
          last = error;
        }
      }
      throw last;
    },
  };
}
