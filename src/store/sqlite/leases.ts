import type { JobSpec } from "../../protocol/index.ts";
import type { LeaseStore } from "../contract.ts";
import { toRecord } from "./raw-job.ts";
import type { Threads } from "./threads.ts";

export function leaseStore({ writer, reader }: Threads): LeaseStore {
  return {
    pools: async () =>
      (await reader.call("pools", undefined)).map((pool) => ({
        ...pool,
        labels: JSON.parse(pool.labels) as Record<string, string>,
      })),
    claim: async (request) =>
      (await writer.call("claim", request)).map((claim) => ({
        ...claim,
        jobId: claim.lease.lease,
        spec: JSON.parse(claim.spec) as JobSpec,
        specBytes: Buffer.byteLength(claim.spec),
      })),
    release: (lease, now) => writer.call("release", { lease, now }),
    accept: (lease, now) => writer.call("accept", { lease, now }),
    started: (lease, at) => writer.call("started", { lease, at }),
    finish: async (lease, outcome, now) => {
      const finished = await writer.call("finish", { lease, outcome, now });
      return { ...finished, job: finished.job === null ? null : toRecord(finished.job) };
    },
    openSession: (worker) => writer.call("openSession", worker),
    reconcile: (sessionId, held, now) => writer.call("reconcile", { sessionId, held, now }),
    renew: (sessionId, leaseUntil) => writer.call("renew", { sessionId, leaseUntil, now: Date.now() }),
    closeSession: (sessionId, now) => writer.call("closeSession", { sessionId, now }),
    expire: (now) => writer.call("expire", { now }),
  };
}
