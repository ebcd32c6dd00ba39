import { randomUUID } from "node:crypto";
import type { HeldLease, LeaseRef, Verdict } from "../../../protocol/index.ts";
import type { WorkerSession } from "../../contract.ts";
import { checkTurn } from "../../rules.ts";
import type { Db } from "../database.ts";
import {
  acceptOffer,
  findAttempt,
  findJob,
  isHeld,
  jobsOfSession,
  refOf,
  settleSession,
  takeBack,
} from "./rows.ts";

export interface OpenArgs {
  workerId: string;
  bootId: string;
  turn: number;
  hubId: string;
  held: readonly HeldLease[];
  leaseUntil: number;
  now: number;
}

/** Always a session of a new id, so that the connection before it can renew or claim nothing any more. */
export function openSession(db: Db, args: OpenArgs): WorkerSession {
  const { workerId, bootId, turn, now } = args;
  const id = `ses_${randomUUID()}`;
  const before = db.get<{ session: string | null; bootId: string; turn: number }>(
    "SELECT session, boot_id AS bootId, turn FROM workers WHERE worker_id = ?",
    workerId,
  );
  if (before !== undefined) checkTurn(before, { bootId, turn });
  if (before !== undefined && before.session !== null) {
    if (before.bootId === bootId) {
      db.run("UPDATE jobs SET session = ? WHERE session = ?", id, before.session);
    } else {
      settleSession(db, before.session, { now, why: `worker ${workerId} was started anew` });
    }
  }
  db.run(
    `INSERT INTO workers (worker_id, boot_id, turn, hub_id, session, lease_until, last_seen_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET boot_id = excluded.boot_id, turn = excluded.turn, hub_id = excluded.hub_id,
       session = excluded.session, lease_until = excluded.lease_until, last_seen_at = excluded.last_seen_at`,
    workerId,
    bootId,
    turn,
    args.hubId,
    id,
    args.leaseUntil,
    now,
  );
  return { id, verdicts: compare(db, { sessionId: id, held: args.held, now, offersAreLost: true }) };
}

export function reconcile(
  db: Db,
  args: { sessionId: string; held: readonly HeldLease[]; now: number },
): Verdict[] {
  return compare(db, { ...args, offersAreLost: false });
}

interface Comparison {
  sessionId: string;
  held: readonly HeldLease[];
  now: number;
  /** an offer the worker does not know was lost on the way; on a live channel it may still be on its way */
  offersAreLost: boolean;
}

function compare(db: Db, { sessionId, held, now, offersAreLost }: Comparison): Verdict[] {
  const verdicts = held.map((lease) => judge(db, { lease, sessionId, now }));
  const going = new Set(verdicts.filter(({ verdict }) => verdict === "continue").map(({ lease }) => lease));
  for (const job of jobsOfSession(db, sessionId)) {
    if (going.has(job.id) || (job.state === "offered" && !offersAreLost)) continue;
    takeBack(db, job, { now, why: "the worker does not know of it any more" });
  }
  return verdicts;
}

function judge(
  db: Db,
  { lease: { lease, attempt, epoch }, sessionId, now }: { lease: LeaseRef; sessionId: string; now: number },
): Verdict {
  const answer = (verdict: Verdict["verdict"], from = 0): Verdict => ({
    lease,
    attempt,
    epoch,
    verdict,
    from,
  });
  const job = findJob(db, lease);
  if (job === undefined) return answer("kill");
  const current = refOf(job);
  const isCurrent = current.attempt === attempt && current.epoch === epoch && job.session === sessionId;
  // A worker holds what it accepted: the acceptance itself was lost on the way.
  if (isCurrent && job.state === "offered") acceptOffer(db, job, now);
  const row = findAttempt(db, job.seq, attempt);
  if (isCurrent && row !== undefined && (isHeld(job) || job.state === "offered")) {
    return answer("continue", row.log_end);
  }
  return answer(row?.epoch === epoch && row.reported !== 0 ? "finished" : "kill");
}

export interface Renewal {
  refs: LeaseRef[];
  cancelled: LeaseRef[];
}

export function renew(db: Db, args: { sessionId: string; leaseUntil: number; now: number }): Renewal | null {
  const { sessionId, leaseUntil, now } = args;
  const renewed = db.run(
    "UPDATE workers SET lease_until = ?, last_seen_at = ? WHERE session = ?",
    leaseUntil,
    now,
    sessionId,
  );
  if (renewed === 0) return null;
  const held = jobsOfSession(db, sessionId).filter(isHeld);
  return { refs: held.map(refOf), cancelled: held.filter((job) => job.cancel_requested !== 0).map(refOf) };
}

export function closeSession(db: Db, { sessionId, now }: { sessionId: string; now: number }): void {
  settleSession(db, sessionId, { now, why: "the worker left" });
  db.run("UPDATE workers SET session = NULL, lease_until = NULL WHERE session = ?", sessionId);
}

/** All that are open. */
export function extendSessions(db: Db, { leaseUntil }: { leaseUntil: number }): void {
  db.run("UPDATE workers SET lease_until = ? WHERE session IS NOT NULL", leaseUntil);
}

export function expire(db: Db, { now }: { now: number }): { jobId: string; requeued: boolean }[] {
  const over = db.all<{ session: string; workerId: string }>(
    "SELECT session, worker_id AS workerId FROM workers WHERE session IS NOT NULL AND lease_until <= ?",
    now,
  );
  return over.flatMap(({ session, workerId }) => {
    const why = `worker ${workerId} was not heard of until its lease was over`;
    const settled = settleSession(db, session, { now, why });
    db.run("UPDATE workers SET session = NULL, lease_until = NULL WHERE session = ?", session);
    return settled;
  });
}
