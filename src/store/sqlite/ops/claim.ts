import type { LeaseRef } from "../../../protocol/index.ts";
import type { ClaimRequest } from "../../contract.ts";
import { nextEpoch } from "../../rules.ts";
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
export function claim(db: Db, args: ClaimRequest): RawClaim[] {
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
  const claimed = candidates.map((job) => ({ ...job, epoch: nextEpoch(job.epoch, job.id === args.along) }));
  for (const { seq, epoch } of claimed) {
    db.run(
      "UPDATE jobs SET state = 'offered', epoch = ?, session = ? WHERE seq = ?",
      epoch,
      args.sessionId,
      seq,
    );
  }
  const vtime = candidates.reduce((latest, job) => Math.max(latest, job.vft), 0);
  if (candidates.length > 0) {
    db.run("UPDATE pools SET vtime = max(vtime, ?) WHERE pool = ?", vtime, args.pool);
  }
  return claimed.map((job) => ({
    lease: { lease: job.id, attempt: job.attempts + 1, epoch: job.epoch },
    tenant: job.tenant,
    spec: job.spec,
    hasInputs: job.hasInputs !== 0,
  }));
}
