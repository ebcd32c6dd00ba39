/** The tunnel file: documented keys of `config.yaml`, and ours under `sallyport:`. */
import type { RouteCredential, TunnelConfig } from "../../tunnel/index.ts";
import type { TunnelFileOptions } from "./read.ts";

export type { TunnelFileOptions } from "./read.ts";

/**
 * Throws `config_invalid`, whose message holds the documented text and `file:line`, with
 * `details: {file, line, field, fix}`. Paths in the file are relative to its folder.
 */
export async function readTunnelFile(path: string, options: TunnelFileOptions): Promise<TunnelConfig> {
  // YAML and the tunnel are loaded by those only who have a tunnel.
  return await (await import("./read.ts")).readTunnel(path, options);
}

/**
 * The secret of a route, without its prefix, as it is kept now: read at each use, so that a rotated one is noticed. Throws
 * `config_invalid` when it is not there, or its file can be read by others.
 */
export async function readCredential(credential: RouteCredential): Promise<string> {
  return (await import("./credential.ts")).currentSecret(credential);
}
