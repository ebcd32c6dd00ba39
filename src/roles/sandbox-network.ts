/** What gives a worker's sandboxes their network: its own routes, those of others, and the record of both. */
import { join } from "node:path";
import { openAuditLog } from "../audit/index.ts";
import type { TunnelSettings } from "../config/index.ts";
import { createGateway, type Gateway } from "../egress/index.ts";
import type { Log } from "../log.ts";
import { forwardRemote, readAuthorities } from "../tunnel/index.ts";
import { TunnelEnd } from "../uplink/index.ts";
import type { RoleHost } from "./life.ts";
import { openTunnelFile } from "./live-tunnel.ts";

export interface NetworkParts {
  settings: TunnelSettings & { stateDir: string };
  workerId: string;
  host: Pick<RoleHost, "watchHangups">;
  log: Log;
}

export interface SandboxNetworkParts extends AsyncDisposable {
  gateway: Gateway;
  /** this worker's end of the tunnel, with what it offers */
  end: TunnelEnd;
}

/** Throws `config_invalid` for a tunnel file or CA file that cannot be used, `state_in_use` where another process keeps this record. */
export async function openSandboxNetwork(parts: NetworkParts): Promise<SandboxNetworkParts> {
  const { settings, workerId, host, log } = parts;
  const { tunnelFile, tunnelCaFile, stateDir } = settings;
  // it is read for every connection; told at the start, a wrong name is not one more failure of a call
  if (tunnelCaFile !== null)
    await readAuthorities(tunnelCaFile, {
      field: "--tunnel-ca",
      fix: "name the ca.crt that `sallyport certs init` made",
    });
  await using stack = new AsyncDisposableStack();
  const audit = stack.use(await openAuditLog({ log }, { dir: join(stateDir, "audit") }));
  const end = stack.use(new TunnelEnd({ log }));
  const remote = stack.use(
    forwardRemote({ remote: end, ...(tunnelCaFile !== null && { caFiles: [tunnelCaFile] }) }),
  );
  const use = { need: "worker", connector: workerId, peer: end } as const;
  const served =
    tunnelFile === null
      ? undefined
      : stack.use(await openTunnelFile({ ...use, file: tunnelFile }, { host, log }));
  if (served !== undefined) end.offer(served.offer);
  const others = {
    routes: () => end.routes(),
    onChange: (listener: () => void) => end.onChange(listener),
    forward: remote.forward,
  };
  const gateway = stack.use(createGateway({ local: served?.tunnel, remote: others, audit, log }));
  const owned = stack.move();
  return { gateway, end, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
