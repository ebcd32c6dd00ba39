import type { JobSpec } from "../../../protocol/index.ts";
import type { Claim } from "../../contract.ts";
import type { DirectCall } from "../calls.ts";
import { statement } from "../statement.ts";

/**
 * Hubs that claim from one pool pass over what the other is taking. The worker's row is locked so that its session cannot be handed
 * over meanwhile; a session that is over is given nothing.
 */
const claimJobs = statement(
  "claim",
  `WITH holder AS (SELECT worker_id FROM workers WHERE session = $2 FOR SHARE),
   next AS (
     SELECT seq FROM open_jobs WHERE pool = $1 AND state = 'queued' AND EXISTS (SELECT FROM holder)
      ORDER BY priority DESC, vft, seq LIMIT $3 FOR UPDATE SKIP LOCKED),
   claimed AS (
     UPDATE open_jobs AS o SET state = 'offered', epoch = epoch + 1, session = $2,
            worker_id = (SELECT worker_id FROM holder), offered_at = clock_timestamp()
       FROM next WHERE o.seq = next.seq
     RETURNING o.seq, o.id, o.epoch, o.attempts, o.priority, o.vft),
   counted AS (
     UPDATE pools SET queued = queued - (SELECT count(*) FROM claimed),
            vtime = greatest(vtime, (SELECT max(vft) FROM claimed))
      WHERE pool = $1 AND EXISTS (SELECT FROM claimed))
   SELECT c.id, c.epoch, c.attempts, j.tenant, j.spec,
          EXISTS (SELECT FROM inputs WHERE inputs.job = c.seq) AS "hasInputs"
     FROM claimed AS c JOIN jobs AS j ON j.seq = c.seq ORDER BY c.priority DESC, c.vft, c.seq`,
);

interface Claimed {
  id: string;
  epoch: number;
  attempts: number;
  tenant: string;
  spec: string;
  hasInputs: boolean;
}

export function claim(request: { pool: string; sessionId: string; limit: number }): DirectCall<Claim[]> {
  const { pool, sessionId, limit } = request;
  return {
    kind: "direct",
    single: true,
    claims: true,
    run: async ({ connection }) => {
      const rows = await connection.run<Claimed>(claimJobs, [pool, sessionId, Math.max(0, limit)]);
      return rows.map(({ id, epoch, attempts, tenant, spec, hasInputs }) => ({
        lease: { lease: id, attempt: attempts + 1, epoch },
        jobId: id,
        tenant,
        spec: JSON.parse(spec) as JobSpec,
        hasInputs,
      }));
    },
  };
}
