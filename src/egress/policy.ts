/** What a sandbox may reach. Nothing that is not granted, and no spelling but the one that was resolved when it was attached. */
import { SallyportError } from "../errors.ts";
import type { Grant } from "./contract.ts";
import { unknownRoute } from "./routes.ts";

/** Grants by canonical full hostname */
export type Grants = ReadonlyMap<string, Grant>;

export type Decision =
  | { readonly allow: true; readonly grant: Grant }
  /** `rule`: what refused it */
  | { readonly allow: false; readonly error: SallyportError; readonly rule: "job" | "route" };

/** Resolves each host once; everything later decides about, and dials, that value. Throws `route_unknown`. */
export function resolveGrants(grants: readonly Grant[], resolve: (host: string) => string): Grants {
  const resolved = new Map<string, Grant>();
  for (const grant of grants) {
    const host = resolve(grant.host);
    if (resolved.has(host))
      throw new SallyportError("request_invalid", `${host} is granted twice`, { details: { host } });
    resolved.set(host, Object.freeze({ ...grant, host }));
  }
  return resolved;
}

/** `host` is canonical. A route that went away since it was granted is no matter of the policy, and told as what it is. */
export function decide(grants: Grants, isServed: (host: string) => boolean, host: string): Decision {
  const grant = grants.get(host);
  if (grant === undefined) return { allow: false, error: notAllowed(host), rule: "job" };
  if (!isServed(host)) return { allow: false, error: unknownRoute(host), rule: "route" };
  return { allow: true, grant };
}

export function notAllowed(host: string): SallyportError {
  return new SallyportError("host_not_allowed", `${host} is not granted to this job`);
}
