/** The checks every request passes before anything else looks at it, on HTTP and on the upgrade alike. */
import type { IncomingHttpHeaders } from "node:http";
import { SallyportError } from "../../errors.ts";
import type { KeyRing } from "./key-ring.ts";
import { hasScope, type Identity, type Scope } from "./keys.ts";

/** Who the bearer key belongs to. Throws `unauthenticated`. */
export async function authenticate(keys: KeyRing, headers: IncomingHttpHeaders): Promise<Identity> {
  const match = /^Bearer ([A-Za-z0-9_-]{1,256})$/i.exec(headers.authorization ?? "");
  const identity = match?.[1] === undefined ? undefined : await keys.identify(match[1]);
  if (identity === undefined) {
    const reason =
      headers.authorization === undefined ? "the request carries no key" : "the key is not known here";
    throw new SallyportError("unauthenticated", `authorization: ${reason}`, {
      details: { field: "authorization", fix: "send `Authorization: Bearer <key>` with a valid key" },
    });
  }
  return identity;
}

/** Throws `scope_missing` unless the identity has one of `wanted`. */
export function requireScope(identity: Identity, ...wanted: readonly Scope[]): void {
  if (hasScope(identity, ...wanted)) return;
  throw new SallyportError("scope_missing", `key ${identity.name} lacks scope ${wanted.join(" or ")}`, {
    details: { wanted, has: identity.scopes },
  });
}
