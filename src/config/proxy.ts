/** What the stand-alone proxy runs with; everything else stands in its file. */
import { resolve } from "node:path";

/** Flags as typed; a flag that was not given is absent. */
export interface ProxyFlags {
  config?: string;
  tunnelDomain?: string;
}

export interface ProxySettings {
  readonly file: string;
  /** Takes the place of `tunnel_domain` in the file */
  readonly tunnelDomain: string | undefined;
}

/** Where the image of the documented proxy has it */
const defaultFile = "/etc/mcp-gateway/config.yaml";

export function proxySettings(
  { config = defaultFile, tunnelDomain }: ProxyFlags,
  cwd: string,
): ProxySettings {
  return Object.freeze({ file: resolve(cwd, config), tunnelDomain });
}
