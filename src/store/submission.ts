/** A new job as every engine's rows hold it, and pages of jobs as every engine tells them. */
import { SallyportError } from "../errors.ts";
import type { JobFilter, JobPage, JobRecord, NewJob } from "./contract.ts";
import { poolOf } from "./rules.ts";

/** bytes of one row of a job's inputs */
const inputPart = 1 * 2 ** 20;

export interface Submission {
  id: string;
  tenant: string;
  weight: number;
  spec: string;
  profile: string;
  labels: string;
  pool: string;
  priority: number;
  maxAttempts: number;
  idempotencyKey: string | null;
  requestDigest: string;
  now: number;
}

/** Throws `request_invalid` for a weight that is no share. */
export function submissionOf(job: NewJob): Submission {
  const { id, tenant, spec, idempotencyKey, requestDigest, now } = job;
  if (!(tenant.weight > 0)) {
    throw new SallyportError("request_invalid", `tenant ${tenant.id}: its weight must be above 0`, {
      details: { field: "weight" },
    });
  }
  return {
    ...poolOf(spec),
    id,
    tenant: tenant.id,
    weight: tenant.weight,
    spec: JSON.stringify(spec),
    profile: spec.profile,
    priority: spec.priority,
    maxAttempts: spec.maxAttempts,
    idempotencyKey,
    requestDigest,
    now,
  };
}

/** In parts, so that no row is huge; they share the caller's memory. */
export function inputParts(inputs: Uint8Array | null): Uint8Array[] {
  const parts: Uint8Array[] = [];
  if (inputs === null) return parts;
  for (let at = 0; at < inputs.length; at += inputPart) parts.push(inputs.subarray(at, at + inputPart));
  return parts;
}

export function freshRecord(job: NewJob): JobRecord {
  const { profile, priority, labels } = job.spec;
  return {
    id: job.id,
    tenant: job.tenant.id,
    state: "queued",
    profile,
    priority,
    labels,
    createdAt: job.now,
    attempts: [],
    cancelRequested: false,
    result: null,
  };
}

/** bytes of results behind which nothing more comes onto a page: each reader that is slow to take one holds it in memory */
export const pageBytes = 1 * 2 ** 20;

/** How many a page may hold. */
export function pageLimit(limit: number): number {
  return Math.min(Math.max(1, limit), 500);
}

/** `more`: there are others behind those of this page. */
export function toPage<Row extends { seq: number }>(
  { shown, more }: { shown: readonly Row[]; more: boolean },
  toRecord: (row: Row) => JobRecord,
): JobPage {
  const last = more ? shown.at(-1) : undefined;
  return { jobs: shown.map(toRecord), next: last === undefined ? null : last.seq.toString(36) };
}

/** Number of the job the page before ended with; null for the first page. Throws `request_invalid`. */
export function cursorOf({ cursor }: Pick<JobFilter, "cursor">): number | null {
  if (cursor === undefined) return null;
  const seq = /^[0-9a-z]{1,10}$/.test(cursor) ? Number.parseInt(cursor, 36) : Number.NaN;
  if (Number.isSafeInteger(seq)) return seq;
  throw new SallyportError("request_invalid", `cursor: ${JSON.stringify(cursor)} is none of ours`, {
    details: { field: "cursor", fix: "use `next` of the page before, unchanged" },
  });
}
