import { createHash } from "node:crypto";
import type { LeaseRef } from "./messages.ts";

export function sameLease(a: LeaseRef, b: LeaseRef): boolean {
  return a.lease === b.lease && a.attempt === b.attempt && a.epoch === b.epoch;
}

/** The same for the same set of leases in any order; both ends compare it in every heartbeat. */
export function leasesHash(refs: Iterable<LeaseRef>): string {
  const lines = [...refs].map((ref) => `${ref.lease}:${ref.attempt}:${ref.epoch}`).sort();
  return createHash("sha256").update(lines.join("\n")).digest("base64url").slice(0, 22);
}
