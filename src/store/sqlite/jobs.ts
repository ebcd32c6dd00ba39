import { SallyportError } from "../../errors.ts";
import type { JobFilter, JobPage, JobRecord, JobStore, NewJob } from "../contract.ts";
import { poolOf } from "../rules.ts";
import type { SubmitArgs } from "./ops/jobs.ts";
import { toRecord, type RawJob } from "./raw-job.ts";
import type { ListArgs } from "./reads/jobs.ts";
import { ownCopy } from "./thread.ts";
import type { Threads } from "./threads.ts";

/** bytes of one row of a job's inputs */
const inputPart = 1 * 2 ** 20;

export function jobStore({ writer, reader }: Threads, { queueCap }: { queueCap: number }): JobStore {
  return {
    submit: async (job) => {
      const inputs = partsOf(job.inputs);
      const earlier = await writer.call("submit", { ...toRow(job), inputs, queueCap }, inputs);
      return earlier === null
        ? { job: freshRecord(job), created: true }
        : { job: toRecord(earlier), created: false };
    },
    get: async (id) => {
      const raw = await reader.call("get", { id });
      return raw === null ? null : toRecord(raw);
    },
    list: async (filter) => toPage(await reader.call("list", toListArgs(filter)), filter.limit),
    inputs: (id) => reader.call("inputs", { id }),
    cancel: async (id, now) => {
      const cancelled = await writer.call("cancel", { id, now });
      return cancelled === null ? null : { ...cancelled, job: toRecord(cancelled.job) };
    },
    artifact: async (jobId, path) => {
      const found = await reader.call("findArtifact", { jobId, path });
      if (found === null) return null;
      const { artifact, size } = found;
      return { size, read: (from, to) => reader.call("readArtifact", { artifact, from, to }) };
    },
  };
}

function toRow(job: NewJob): Omit<SubmitArgs, "inputs" | "queueCap"> {
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

function partsOf(inputs: Uint8Array | null): Uint8Array<ArrayBuffer>[] {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  if (inputs === null) return parts;
  for (let at = 0; at < inputs.length; at += inputPart) {
    parts.push(ownCopy(inputs.subarray(at, at + inputPart)));
  }
  return parts;
}

function freshRecord(job: NewJob): JobRecord {
  return {
    id: job.id,
    tenant: job.tenant.id,
    state: "queued",
    spec: job.spec,
    createdAt: job.now,
    attempts: [],
    cancelRequested: false,
    result: null,
  };
}

function toListArgs(filter: JobFilter): ListArgs {
  return {
    tenant: filter.tenant ?? null,
    states: filter.states ?? null,
    profile: filter.profile ?? null,
    before: filter.cursor === undefined ? null : readCursor(filter.cursor),
    limit: Math.min(Math.max(1, filter.limit), 500),
  };
}

function toPage(listed: readonly (RawJob & { seq: number })[], limit: number): JobPage {
  const shown = listed.slice(0, Math.min(Math.max(1, limit), 500));
  const last = listed.length > shown.length ? shown.at(-1) : undefined;
  return { jobs: shown.map(toRecord), next: last === undefined ? null : last.seq.toString(36) };
}

function readCursor(cursor: string): number {
  const seq = /^[0-9a-z]{1,10}$/.test(cursor) ? Number.parseInt(cursor, 36) : Number.NaN;
  if (Number.isSafeInteger(seq)) return seq;
  throw new SallyportError("request_invalid", `cursor: ${JSON.stringify(cursor)} is none of ours`, {
    details: { field: "cursor", fix: "use `next` of the page before, unchanged" },
  });
}
