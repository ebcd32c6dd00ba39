import type { HeldBy, JobRecord } from "../../contract.ts";
import type { RowCall } from "../calls.ts";
import type { OpenJob } from "../row-types.ts";
import { endWaiting, refOf } from "./transitions.ts";

export interface Cancelled {
  ended: boolean;
  lease: HeldBy | null;
  job: JobRecord;
}

export function cancel(id: string, now: number): RowCall<Cancelled | null> {
  return {
    kind: "rows",
    needs: { records: [id], leaver: id },
    requeues: true,
    decide: (rows) => {
      const job = rows.job(id);
      const ended = job?.state === "queued";
      const lease = job === undefined || ended ? null : holderOf(job);
      if (ended) {
        endWaiting(rows, job, now);
        rows.lapse(job);
      } else if (job !== undefined) rows.update(job, { cancelRequested: true });
      if (lease !== null) rows.news.cancels.push(lease);
      const record = rows.record(id);
      return record === null ? null : { ended, lease, job: record };
    },
  };
}

function holderOf(job: OpenJob): HeldBy | null {
  if (job.session === null || job.workerId === null) return null;
  return { lease: refOf(job), jobId: job.id, sessionId: job.session, workerId: job.workerId };
}
