import { resolve } from "node:path";
import { SallyportError } from "../errors.ts";
import { findDev } from "./dev-file.ts";
import type { Environment } from "./environment.ts";
import { configFault } from "./fault.ts";
import { readSecretFile } from "./secret-file.ts";

export interface HubFlags {
  hub?: string | undefined;
  keyFile?: string | undefined;
}

/** Where the hub is and the text of the key it opens to. */
export interface HubAccess {
  url: string;
  key: string;
}

/**
 * Flags before environment, and both before a running `dev`. Throws `hub_unreachable` when none is named and none runs, and
 * `config_invalid` when there is no key or it is open to others.
 */
export function findHub(flags: HubFlags, environment: Environment, cwd: string): HubAccess {
  const named = flags.hub ?? environment.hub;
  const namedKey = flags.keyFile ?? environment.keyFile;
  const dev = named === undefined ? findDev(cwd, environment.stateDir) : undefined;
  const url = named ?? dev?.url;
  if (url === undefined) {
    throw new SallyportError("hub_unreachable", "no hub is named and no `sallyport dev` runs here", {
      details: { fix: "start one with `sallyport dev`, or name one with --hub or SALLYPORT_HUB" },
    });
  }
  const keyFile = namedKey ?? dev?.keyFile;
  if (keyFile === undefined) {
    throw configFault(`no key for ${url}`, {
      source: "command line",
      key: "--key-file",
      fix: "name the file that holds the key with --key-file or SALLYPORT_KEY_FILE",
    });
  }
  return { url, key: readSecretFile(resolve(cwd, keyFile), "key") };
}
