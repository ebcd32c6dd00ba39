import { scopes, openKeyRing, type Scope } from "../hub/index.ts";
import { SallyportError } from "../errors.ts";
import { silentLog } from "../log.ts";

export interface StateKey {
  name: string;
  tenant: string;
  weight: number;
  scopes: readonly string[];
  createdAt: string;
  revokedAt: string | null;
}

export interface StateKeys {
  /** The key's text, which is kept nowhere else. */
  add(key: { name: string; tenant: string; weight: number; scopes: readonly string[] }): Promise<string>;
  list(): Promise<readonly StateKey[]>;
  revoke(name: string): Promise<void>;
}

/** The keys of a state folder, whether or not a hub runs on it. */
export async function openKeys(stateDir: string): Promise<StateKeys> {
  const ring = await openKeyRing({ log: silentLog() }, { dir: stateDir });
  return {
    add: (key) => ring.addKey({ ...key, scopes: key.scopes.map(readScope) }),
    list: () => ring.listKeys(),
    revoke: (name) => ring.revokeKey(name),
  };
}

function readScope(text: string): Scope {
  const scope = scopes.find((known) => known === text);
  if (scope !== undefined) return scope;
  throw new SallyportError("config_invalid", `--scope: ${JSON.stringify(text)} is not a scope`, {
    details: { source: "command line", fix: `use one of ${scopes.join(", ")}` },
  });
}
