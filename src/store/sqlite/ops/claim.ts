import type { LeaseRef } from "../../../protocol/index.ts";
import type { Db } from "../database.ts";

export interface RawClaim {
  lease: LeaseRef;
  tenant: string;
  spec: string;
  hasInputs: boolean;
}

interface Candidate {
  seq: number;
  id: string;
  tenant: string;
  epoch: number;
  attempts: number;
  vft: number;
  spec: string;
  hasInputs: number;
}

/** Nothing for a session that is over. */
export function claim(db: Db, args: { pool: string; sessionId: string; limit: number }): RawClaim[] {
  if (db.get("SELECT 1 FROM workers WHERE session = ?", args.sessionId) === undefined) return [];
  const candidates = db.all<Candidate>(
    `SELECT seq, id, tenant, epoch, attempts, vft, spec,
            EXISTS (SELECT 1 FROM inputs WHERE inputs.job = jobs.seq) AS hasInputs
       FROM jobs JOIN specs ON specs.job = jobs.seq
      WHERE pool = ? AND state = 'queued'
      ORDER BY priority DESC, vft, seq LIMIT ?`,
    args.pool,
    Math.max(0, args.limit),
  );
  for (const job of candidates) {
    db.run(
      "UPDATE jobs SET state = 'offered', epoch = epoch + 1, session = ? WHERE seq = ?",
      args.sessionId,
      job.seq,
    );
  }
  const vtime = candidates.reduce((latest, job) => Math.max(latest, job.vft), 0);
  if (candidates.length > 0) {
    db.run("UPDATE pools SET vtime = max(vtime, ?) WHERE pool = ?", vtime, args.pool);
  }
  return candidates.map((job) => ({
    lease: { lease: job.id, attempt: job.attempts + 1, epoch: job.epoch + 1 },
    tenant: job.tenant,
    spec: job.spec,
    hasInputs: job.hasInputs !== 0,
  }));
}
