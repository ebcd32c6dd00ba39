import type { JobSpec } from "../../protocol/index.ts";
import type { JobFilter, JobStore } from "../contract.ts";
import { cursorOf, freshRecord, inputParts, pageLimit, submissionOf, toPage } from "../submission.ts";
import { toRecord } from "./raw-job.ts";
import type { ListArgs } from "./reads/jobs.ts";
import { ownCopy } from "./thread.ts";
import type { Threads } from "./threads.ts";

export function jobStore({ writer, reader }: Threads, { queueCap }: { queueCap: number }): JobStore {
  return {
    submit: async (job) => {
      const inputs = inputParts(job.inputs).map((part) => ownCopy(part));
      const earlier = await writer.call("submit", { ...submissionOf(job), inputs, queueCap }, inputs);
      return earlier === null
        ? { job: freshRecord(job), created: true }
        : { job: toRecord(earlier), created: false };
    },
    get: async (id) => {
      const raw = await reader.call("get", { id });
      return raw === null ? null : toRecord(raw);
    },
    list: async (filter) => toPage(await reader.call("list", toListArgs(filter)), toRecord),
    spec: async (id) => {
      const spec = await reader.call("spec", { id });
      return spec === null ? null : (JSON.parse(spec) as JobSpec);
    },
    inputs: (id, n) => reader.call("inputs", { id, n }),
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

function toListArgs(filter: JobFilter): ListArgs {
  return {
    tenant: filter.tenant ?? null,
    states: filter.states ?? null,
    profile: filter.profile ?? null,
    before: cursorOf(filter),
    limit: pageLimit(filter.limit),
  };
}
