import { SallyportError } from "../../../errors.ts";
import type { JobRecord, NewJob } from "../../contract.ts";
import { freshRecord, inputParts, submissionOf } from "../../submission.ts";
import type { RowCall } from "../calls.ts";
import type { Recorded } from "../row-types.ts";
import type { Rows } from "../rows.ts";

export interface Submitted {
  job: JobRecord;
  created: boolean;
}

/** The same id counts as the same key: a submission whose answer was lost can be made again. */
export function submit(job: NewJob, { queueCap }: { queueCap: number }): RowCall<Submitted> {
  const submission = submissionOf(job);
  const inputs = inputParts(job.inputs);
  const { id, tenant, idempotencyKey: key } = submission;
  return {
    kind: "rows",
    needs: { newJob: { id, tenant, key, pool: submission.pool } },
    size: (job.inputs?.length ?? 0) + submission.spec.length,
    decide: (rows) => {
      const earlier = findEarlier(rows, { id, tenant, key });
      if (earlier !== undefined) return told(rows, earlier, submission);
      checkRoom(rows.queued, queueCap);
      const { requestDigest: digest, now: createdAt, ...rest } = submission;
      rows.addJob({
        ...rest,
        key,
        digest,
        createdAt,
        inputs,
        seq: rows.nextSeq(),
        state: null,
        cancelRequested: false,
        result: null,
      });
      return { job: freshRecord(job), created: true };
    },
  };
}

function findEarlier(
  rows: Rows,
  { id, tenant, key }: { id: string; tenant: string; key: string | null },
): Recorded | undefined {
  const byKey = key === null ? undefined : rows.byKey(tenant, key);
  return rows.recorded(byKey ?? id);
}

function told(
  rows: Rows,
  earlier: Recorded,
  submission: { tenant: string; requestDigest: string },
): Submitted {
  const job = rows.record(earlier.id);
  if (job !== null && earlier.digest === submission.requestDigest && earlier.tenant === submission.tenant) {
    return { job, created: false };
  }
  throw new SallyportError("idempotency_mismatch", "idempotency-key: it was used for another request", {
    details: { field: "idempotency-key", job: earlier.id, fix: "use a fresh key for each request" },
  });
}

function checkRoom(queued: number, cap: number): void {
  if (queued < cap) return;
  throw new SallyportError("queue_full", `${queued} jobs wait already, the queue takes ${cap}`, {
    details: { cap, fix: "submit again later, or add workers" },
  });
}
