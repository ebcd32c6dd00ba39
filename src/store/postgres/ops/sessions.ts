import { randomUUID } from "node:crypto";
import type { HeldLease, LeaseRef, Verdict } from "../../../protocol/index.ts";
import type { LeaseStore, WorkerSession } from "../../contract.ts";
import { checkTurn } from "../../rules.ts";
import type { DirectCall, RowCall } from "../calls.ts";
import type { Rows } from "../rows.ts";
import { statement } from "../statement.ts";
import { acceptOffer, isHeld, refOf, returnOffer, settleSession, takeBack } from "./transitions.ts";

type Opening = Parameters<LeaseStore["openSession"]>[0];

/** Always a session of a new id, so that the connection before it can renew or claim nothing any more. */
export function openSession(opening: Opening): RowCall<WorkerSession> {
  const { workerId, bootId, turn, hubId, held, now } = opening;
  const id = `ses_${randomUUID()}`;
  return {
    kind: "rows",
    needs: { workers: [workerId], records: held.map(({ lease }) => lease) },
    requeues: true,
    decide: (rows) => {
      const leaseUntil = rows.clock.toDatabase(opening.leaseUntil);
      const session = { bootId, turn, hubId, session: id, leaseUntil, lastSeenAt: now };
      const before = rows.worker(workerId);
      if (before !== undefined) checkTurn(before, { bootId, turn });
      if (before === undefined) rows.addWorker({ workerId, ...session });
      else {
        if (before.session !== null) handOver(rows, before.session, { opening, id, same: before.bootId });
        rows.updateWorker(before, session);
      }
      return { id, verdicts: compare(rows, { sessionId: id, held, now, offersAreLost: true }) };
    },
  };
}

function handOver(
  rows: Rows,
  before: string,
  { opening, id, same }: { opening: Opening; id: string; same: string },
): void {
  const { workerId, bootId, now } = opening;
  if (same === bootId) {
    for (const job of rows.jobsOf(before)) rows.update(job, { session: id });
  } else {
    settleSession(rows, before, { now, why: `worker ${workerId} was started anew` });
  }
}

export function reconcile(sessionId: string, held: readonly HeldLease[], now: number): RowCall<Verdict[]> {
  return {
    kind: "rows",
    needs: { sessions: [sessionId], records: held.map(({ lease }) => lease) },
    requeues: true,
    decide: (rows) => compare(rows, { sessionId, held, now, offersAreLost: false }),
  };
}

interface Comparison {
  sessionId: string;
  held: readonly HeldLease[];
  now: number;
  /** an offer the worker does not know was lost on the way; on a live channel it may still be on its way */
  offersAreLost: boolean;
}

function compare(rows: Rows, { sessionId, held, now, offersAreLost }: Comparison): Verdict[] {
  const verdicts = held.map((lease) => judge(rows, { lease, sessionId, now }));
  const going = new Set(verdicts.filter(({ verdict }) => verdict === "continue").map(({ lease }) => lease));
  for (const job of rows.jobsOf(sessionId)) {
    if (going.has(job.id) || (job.state === "offered" && !offersAreLost)) continue;
    takeBack(rows, job, { now, why: "the worker does not know of it any more" });
  }
  return verdicts;
}

function judge(
  rows: Rows,
  { lease: { lease, attempt, epoch }, sessionId, now }: { lease: LeaseRef; sessionId: string; now: number },
): Verdict {
  const answer = (verdict: Verdict["verdict"], from = 0): Verdict => ({
    lease,
    attempt,
    epoch,
    verdict,
    from,
  });
  const job = rows.job(lease);
  const current = job && refOf(job);
  const isCurrent = job?.session === sessionId && current?.attempt === attempt && current.epoch === epoch;
  // A worker holds what it accepted: the acceptance itself was lost on the way.
  if (isCurrent && job.state === "offered") acceptOffer(rows, job, now);
  const seq = rows.recorded(lease)?.seq ?? job?.seq;
  const row = seq === undefined ? undefined : rows.attempt(seq, attempt);
  if (isCurrent && row !== undefined && isHeld(job)) return answer("continue", row.logEnd);
  return answer(row?.epoch === epoch && row.reported ? "finished" : "kill");
}

const renewSession = statement(
  "renew",
  `WITH renewed AS (UPDATE workers SET lease_until = $2, last_seen_at = $3 WHERE session = $1 RETURNING 1)
   SELECT EXISTS (SELECT FROM renewed) AS renewed, coalesce(
     (SELECT json_agg(json_build_array(id, attempts, epoch, cancel_requested) ORDER BY seq) FROM open_jobs
       WHERE session = $1 AND state IN ('leased', 'running')), '[]') AS held`,
);

interface Renewed {
  renewed: boolean;
  held: [lease: string, attempt: number, epoch: number, cancelled: boolean][];
}

/** Locks nothing but the worker's row, however much it holds. */
export function renew(
  sessionId: string,
  leaseUntil: number,
  now: number,
): DirectCall<{ refs: LeaseRef[]; cancelled: LeaseRef[] } | null> {
  return {
    kind: "direct",
    single: true,
    run: async ({ connection, clock }) => {
      const until = clock.toDatabase(leaseUntil);
      const [row] = await connection.run<Renewed>(renewSession, [sessionId, until, now]);
      if (row?.renewed !== true) return null;
      const held = row.held.map(([lease, attempt, epoch, cancelled]) => ({
        ref: { lease, attempt, epoch },
        cancelled,
      }));
      return {
        refs: held.map(({ ref }) => ref),
        cancelled: held.filter(({ cancelled }) => cancelled).map(({ ref }) => ref),
      };
    },
  };
}

export function closeSession(sessionId: string, now: number): RowCall<void> {
  return {
    kind: "rows",
    needs: { sessions: [sessionId] },
    requeues: true,
    decide: (rows) => {
      settleSession(rows, sessionId, { now, why: "the worker left" });
      const worker = rows.workerOf(sessionId);
      if (worker !== undefined) rows.updateWorker(worker, { session: null, leaseUntil: null });
    },
  };
}

export function expire(now: number): RowCall<{ jobId: string; requeued: boolean }[]> {
  return {
    kind: "rows",
    needs: { expiredAt: now },
    requeues: true,
    decide: (rows) => {
      const until = rows.clock.toDatabase(now);
      const lost = rows.workers().flatMap((worker) => {
        const { workerId, session, leaseUntil } = worker;
        if (session === null || leaseUntil === null || leaseUntil > until) return [];
        const why = `worker ${workerId} was not heard of until its lease was over`;
        const settled = settleSession(rows, session, { now, why });
        rows.updateWorker(worker, { session: null, leaseUntil: null });
        return settled;
      });
      return [...lost, ...returnOrphans(rows, now)];
    },
  };
}

/** Offers nobody can know of any more: their hub died between the claim and the offer, or never learned that it had claimed. */
function returnOrphans(rows: Rows, now: number): { jobId: string; requeued: boolean }[] {
  const orphans = rows.orphans.flatMap((id) => rows.job(id) ?? []).filter(({ state }) => state === "offered");
  return orphans.map((job) => ({ jobId: job.id, requeued: returnOffer(rows, job, now) }));
}
