/** The checks every request passes before anything else looks at it, on HTTP and on the upgrade alike. */
import type { IncomingHttpHeaders } from "node:http";
import { SallyportError } from "../../errors.ts";
import type { Authenticator } from "./authenticator.ts";
import { hasScope, type Identity, type Scope } from "./keys.ts";

/** Whose credential the request carries. Throws `unauthenticated`. */
export async function authenticate(keys: Authenticator, headers: IncomingHttpHeaders): Promise<Identity> {
  const identity = await keys.identify(headers);
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
