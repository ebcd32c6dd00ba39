import type { LeaseRef } from "../../../protocol/index.ts";
import type { ClaimRequest } from "../../contract.ts";
import { claimBytes, nextEpoch } from "../../rules.ts";
import type { Db } from "../database.ts";

export interface RawClaim {
  lease: LeaseRef;
  tenant: string;
  spec: string;
}

interface Candidate {
  seq: number;
  id: string;
  tenant: string;
  epoch: number;
  attempts: number;
  vft: number;
  spec: string;
}

/** Nothing for a session that is over. */
export function claim(db: Db, args: ClaimRequest): RawClaim[] {
  if (db.get("SELECT 1 FROM workers WHERE session = ?", args.sessionId) === undefined) return [];
  const claims: RawClaim[] = [];
  let bytes = 0;
  while (claims.length < args.limit && bytes < claimBytes) {
    const next = takeTurn(db, args.pool);
    if (next === undefined) break;
    claims.push(offer(db, next, args));
    bytes += Buffer.byteLength(next.spec);
  }
  return claims;
}

/** Who is next: the tenant whose turn comes first takes it with its most urgent job, and the job that had the turn gets that one's. */
function takeTurn(db: Db, pool: string): Candidate | undefined {
  const turn = db.get<Pick<Candidate, "seq" | "tenant" | "vft">>(
    "SELECT seq, tenant, vft FROM jobs WHERE pool = ? AND state = 'queued' ORDER BY vft, tenant LIMIT 1",
    pool,
  );
  if (turn === undefined) return undefined;
  const urgent = db.get<Candidate>(
    `SELECT seq, id, tenant, epoch, attempts, vft, spec
       FROM jobs JOIN specs ON specs.job = jobs.seq
      WHERE pool = ? AND tenant = ? AND state = 'queued'
      ORDER BY priority DESC, seq LIMIT 1`,
    pool,
    turn.tenant,
  );
  if (urgent === undefined || urgent.seq === turn.seq) return urgent;
  db.run("UPDATE jobs SET vft = ? WHERE seq = ?", urgent.vft, turn.seq);
  return { ...urgent, vft: turn.vft };
}

function offer(db: Db, job: Candidate, { pool, sessionId, along }: ClaimRequest): RawClaim {
  const epoch = nextEpoch(job.epoch, job.id === along);
  db.run(
    "UPDATE jobs SET state = 'offered', epoch = ?, session = ?, vft = ? WHERE seq = ?",
    epoch,
    sessionId,
    job.vft,
    job.seq,
  );
  db.run("UPDATE pools SET vtime = max(vtime, ?) WHERE pool = ?", job.vft, pool);
  return {
    lease: { lease: job.id, attempt: job.attempts + 1, epoch },
    tenant: job.tenant,
    spec: job.spec,
  };
}
