import type { JobSpec } from "../../../protocol/index.ts";
import type { Claim } from "../../contract.ts";
import type { RowCall } from "../calls.ts";
import type { WorkerRow, Waiting } from "../row-types.ts";
import type { Rows } from "../rows.ts";

/** Nothing for a session that is over. */
export function claim(request: { pool: string; sessionId: string; limit: number }): RowCall<Claim[]> {
  const { pool, sessionId } = request;
  const limit = Math.max(0, request.limit);
  return {
    kind: "rows",
    needs: { claim: { pool, sessionId, limit } },
    decide: (rows) => {
      const worker = rows.workerOf(sessionId);
      if (worker === undefined) return [];
      return rows
        .waiting(pool)
        .slice(0, limit)
        .map((waiting) => take(rows, waiting, worker));
    },
  };
}

function take(rows: Rows, { job, tenant, spec, hasInputs }: Waiting, worker: WorkerRow): Claim {
  const { session, workerId } = worker;
  rows.update(job, { state: "offered", epoch: job.epoch + 1, session, workerId });
  rows.advance(job);
  return {
    lease: { lease: job.id, attempt: job.attempts + 1, epoch: job.epoch },
    jobId: job.id,
    tenant,
    spec: JSON.parse(spec) as JobSpec,
    hasInputs,
  };
}
