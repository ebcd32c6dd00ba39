/** The rows operations decide on, and the few ways a job's row changes. */
import { SallyportError } from "../../../errors.ts";
import type { AttemptOutcome, LeaseRef } from "../../../protocol/index.ts";
import { buildResult, cancelledOutcome, lostOutcome, mayRetry, withMissing } from "../../rules.ts";
import type { Db } from "../database.ts";

export interface JobRow {
  seq: number;
  id: string;
  tenant: string;
  pool: string;
  state: string;
  vft: number;
  epoch: number;
  attempts: number;
  max_attempts: number;
  session: string | null;
  cancel_requested: number;
  queued_at: number;
  queued_ms: number;
}

export interface AttemptRow {
  epoch: number;
  leased_at: number;
  started_at: number | null;
  finished_at: number | null;
  reported: number;
  requeued: number;
  log_end: number;
  stdout: number;
  stderr: number;
}

const jobColumns =
  "seq, id, tenant, pool, state, vft, epoch, attempts, max_attempts, session, cancel_requested, queued_at, queued_ms";

export function findJob(db: Db, id: string): JobRow | undefined {
  return db.get<JobRow>(`SELECT ${jobColumns} FROM jobs WHERE id = ?`, id);
}

/** What a worker session has been given, offers included, oldest first. */
export function jobsOfSession(db: Db, session: string): JobRow[] {
  return db.all<JobRow>(`SELECT ${jobColumns} FROM jobs WHERE session = ? ORDER BY seq`, session);
}

export function findAttempt(db: Db, seq: number, attempt: number): AttemptRow | undefined {
  return db.get<AttemptRow>(
    `SELECT epoch, leased_at, started_at, finished_at, reported, requeued, log_end, stdout, stderr
       FROM attempts WHERE job = ? AND attempt = ?`,
    seq,
    attempt,
  );
}

export function isTerminal(job: JobRow): boolean {
  return job.state !== "offered" && job.state !== "queued" && !isHeld(job);
}

/** Accepted and not over. */
export function isHeld(job: JobRow): boolean {
  return job.state === "leased" || job.state === "running";
}

/** The job, when this very grant of it is what a worker holds. */
export function heldUnder(db: Db, lease: LeaseRef): JobRow | undefined {
  const job = findJob(db, lease.lease);
  if (job === undefined || !isHeld(job)) return undefined;
  return job.epoch === lease.epoch && job.attempts === lease.attempt ? job : undefined;
}

export function refOf(job: JobRow): LeaseRef {
  const attempt = job.state === "offered" ? job.attempts + 1 : job.attempts;
  return { lease: job.id, attempt, epoch: job.epoch };
}

/** `offered` → `leased`: the attempt is spent. The job must be offered. */
export function acceptOffer(db: Db, job: JobRow, now: number): JobRow {
  const attempts = job.attempts + 1;
  const queuedMs = job.queued_ms + Math.max(0, now - job.queued_at);
  db.run(
    "UPDATE jobs SET state = 'leased', attempts = ?, queued_ms = ? WHERE seq = ?",
    attempts,
    queuedMs,
    job.seq,
  );
  db.run(
    `INSERT INTO attempts (job, attempt, epoch, worker_id, leased_at)
     SELECT ?, ?, ?, worker_id, ? FROM workers WHERE session = ?`,
    job.seq,
    attempts,
    job.epoch,
    now,
    job.session,
  );
  return { ...job, state: "leased", attempts, queued_ms: queuedMs };
}

/** `offered` → `queued`, where it stood: what ordered it has not changed. A job that was cancelled meanwhile ends. Returns whether it is queued. */
export function returnOffer(db: Db, job: JobRow, now: number): boolean {
  if (job.cancel_requested !== 0) {
    endWaiting(db, job, now);
    return false;
  }
  db.run("UPDATE jobs SET state = 'queued', session = NULL WHERE seq = ?", job.seq);
  return true;
}

/** Ends a job that nobody holds. */
export function endWaiting(db: Db, job: JobRow, now: number): void {
  const queuedMs = job.queued_ms + Math.max(0, now - job.queued_at);
  const last = findAttempt(db, job.seq, job.attempts);
  const durable = last && { logEnd: last.log_end, stdout: last.stdout, stderr: last.stderr };
  end(db, job, { attempt: job.attempts, outcome: cancelledOutcome(durable), queuedMs, now });
}

interface AttemptEnd {
  outcome: AttemptOutcome;
  now: number;
  /** the worker told it, so it may tell it again */
  reported: boolean;
}

/** Ends the attempt that is held: the job ends with it or is queued again. Returns whether it is queued. */
export function settle(db: Db, job: JobRow, ending: AttemptEnd): boolean {
  const attempt = findAttempt(db, job.seq, job.attempts);
  if (attempt === undefined) throw new SallyportError("store_corrupt", `job ${job.id}: its attempt is gone`);
  const retried = mayRetry({ attempts: job.attempts, maxAttempts: job.max_attempts }, ending.outcome);
  const requeued = retried && job.cancel_requested === 0;
  const { now, reported } = ending;
  db.run(
    "UPDATE attempts SET finished_at = ?, reason = ?, reported = ?, requeued = ? WHERE job = ? AND attempt = ?",
    now,
    ending.outcome.reason,
    reported ? 1 : 0,
    requeued ? 1 : 0,
    job.seq,
    job.attempts,
  );
  if (requeued) {
    db.run("UPDATE jobs SET state = 'queued', session = NULL, queued_at = ? WHERE seq = ?", now, job.seq);
    return true;
  }
  const outcome = withMissing(ending.outcome, attempt.log_end);
  end(db, job, {
    attempt: job.attempts,
    outcome: retried ? { ...outcome, reason: "cancelled" } : outcome,
    queuedMs: job.queued_ms,
    startedAt: attempt.started_at,
    now,
  });
  return false;
}

/**
 * Settles everything a session was given whose worker cannot be asked; what it held is lost. So is an offer that is still open: its
 * acceptance may have been heard, and its command started, before that came to disk. Returns what became of each job.
 */
export function settleSession(
  db: Db,
  session: string,
  { now, why }: { now: number; why: string },
): { jobId: string; requeued: boolean }[] {
  return jobsOfSession(db, session).map((job) => {
    const held = job.state === "offered" ? acceptOffer(db, job, now) : job;
    return { jobId: job.id, requeued: takeBack(db, held, { now, why }) };
  });
}

/** Takes one job from a worker that is gone or does not know of it; nothing ran of an offer. Returns whether it is queued. */
export function takeBack(db: Db, job: JobRow, { now, why }: { now: number; why: string }): boolean {
  if (job.state === "offered") return returnOffer(db, job, now);
  const attempt = findAttempt(db, job.seq, job.attempts);
  if (attempt === undefined) throw new SallyportError("store_corrupt", `job ${job.id}: its attempt is gone`);
  const durable = {
    leasedAt: attempt.leased_at,
    startedAt: attempt.started_at,
    logEnd: attempt.log_end,
    stdout: attempt.stdout,
    stderr: attempt.stderr,
  };
  return settle(db, job, { outcome: lostOutcome(durable, now, why), now, reported: false });
}

interface JobEnd {
  attempt: number;
  outcome: AttemptOutcome;
  queuedMs: number;
  startedAt?: number | null;
  now: number;
}

function end(db: Db, job: JobRow, ending: JobEnd): void {
  const { attempt, outcome, queuedMs, startedAt = null, now } = ending;
  const result = buildResult({ attempt, outcome, queuedMs, startedAt, finishedAt: now });
  db.run(
    "UPDATE jobs SET state = ?, session = NULL, finished_at = ?, result = ? WHERE seq = ?",
    result.state,
    now,
    JSON.stringify(result),
    job.seq,
  );
}
