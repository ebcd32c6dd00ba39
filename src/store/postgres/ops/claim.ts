import type { JobSpec } from "../../../protocol/index.ts";
import type { Claim, ClaimRequest } from "../../contract.ts";
import { claimBytes, nextEpoch } from "../../rules.ts";
import type { RowCall } from "../calls.ts";
import type { WorkerRow, Waiting } from "../row-types.ts";
import type { Rows } from "../rows.ts";

/** Nothing for a session that is over. */
export function claim(request: Omit<ClaimRequest, "now">): RowCall<Claim[]> {
  const { pool, sessionId, along } = request;
  const limit = Math.max(0, request.limit);
  return {
    kind: "rows",
    needs: { claim: { pool, sessionId, limit } },
    decide: (rows) => {
      const worker = rows.workerOf(sessionId);
      if (worker === undefined) return [];
      const claims: Claim[] = [];
      let bytes = 0;
      while (claims.length < limit && bytes < claimBytes) {
        const waiting = rows.next(pool);
        if (waiting === undefined) break;
        claims.push(take(rows, waiting, { worker, isAlong: waiting.job.id === along }));
        bytes += waiting.specBytes;
      }
      return claims;
    },
  };
}

function take(
  rows: Rows,
  { job, tenant, spec, specBytes }: Waiting,
  { worker: { session, workerId }, isAlong }: { worker: WorkerRow; isAlong: boolean },
): Claim {
  rows.update(job, { state: "offered", epoch: nextEpoch(job.epoch, isAlong), session, workerId });
  rows.advance(job);
  const claim = {
    lease: { lease: job.id, attempt: job.attempts + 1, epoch: job.epoch },
    jobId: job.id,
    tenant,
    spec: JSON.parse(spec ?? "null") as JobSpec,
    specBytes,
  };
  if (spec === null) rows.claimedUnread.set(job.seq, claim);
  return claim;
}
