/** The few ways a job's rows change. */
import { SallyportError } from "../../../errors.ts";
import type { AttemptOutcome, LeaseRef } from "../../../protocol/index.ts";
import { buildResult, cancelledOutcome, lostOutcome, mayRetry, withMissing } from "../../rules.ts";
import type { AttemptRow, OpenJob } from "../row-types.ts";
import type { Rows } from "../rows.ts";

/** Accepted and not over. */
export function isHeld(job: OpenJob): boolean {
  return job.state === "leased" || job.state === "running";
}

/** The job, when this very grant of it is what a worker holds. */
export function heldUnder(rows: Rows, lease: LeaseRef): OpenJob | undefined {
  const job = rows.job(lease.lease);
  if (job === undefined || !isHeld(job)) return undefined;
  return job.epoch === lease.epoch && job.attempts === lease.attempt ? job : undefined;
}

export function refOf(job: OpenJob): LeaseRef {
  const attempt = job.state === "offered" ? job.attempts + 1 : job.attempts;
  return { lease: job.id, attempt, epoch: job.epoch };
}

/** `offered` → `leased`: the attempt is spent. The job must be offered. */
export function acceptOffer(rows: Rows, job: OpenJob, now: number): void {
  const attempt = job.attempts + 1;
  rows.addAttempt({
    job: job.seq,
    attempt,
    epoch: job.epoch,
    workerId: job.workerId ?? "",
    leasedAt: now,
    startedAt: null,
    finishedAt: null,
    reason: null,
    reported: false,
    requeued: false,
    logEnd: 0,
    stdout: 0,
    stderr: 0,
  });
  const queuedMs = job.queuedMs + Math.max(0, now - job.queuedAt);
  rows.update(job, { state: "leased", attempts: attempt, queuedMs });
}

/** `offered` → `queued`, where it stood: what ordered it has not changed. A job that was cancelled meanwhile ends. Returns whether it is queued. */
export function returnOffer(rows: Rows, job: OpenJob, now: number): boolean {
  if (job.cancelRequested) {
    endWaiting(rows, job, now);
    return false;
  }
  rows.update(job, { state: "queued", session: null, workerId: null });
  return true;
}

/** Ends a job that nobody holds. */
export function endWaiting(rows: Rows, job: OpenJob, now: number): void {
  const queuedMs = job.queuedMs + Math.max(0, now - job.queuedAt);
  const outcome = cancelledOutcome(rows.attempt(job.seq, job.attempts));
  const result = buildResult({
    attempt: job.attempts,
    outcome,
    queuedMs,
    startedAt: null,
    finishedAt: now,
  });
  rows.end(job, result, now);
}

interface AttemptEnd {
  outcome: AttemptOutcome;
  now: number;
  /** the worker told it, so it may tell it again */
  reported: boolean;
}

/** Ends the attempt that is held: the job ends with it or is queued again. Returns whether it is queued. */
export function settle(rows: Rows, job: OpenJob, { outcome, now, reported }: AttemptEnd): boolean {
  const attempt = attemptOf(rows, job);
  const retried = mayRetry({ attempts: job.attempts, maxAttempts: job.maxAttempts }, outcome);
  const requeued = retried && !job.cancelRequested;
  rows.updateAttempt(attempt, { finishedAt: now, reason: outcome.reason, reported, requeued });
  if (requeued) {
    rows.update(job, { state: "queued", session: null, workerId: null, queuedAt: now });
    return true;
  }
  const whole = withMissing(outcome, attempt.logEnd);
  const result = buildResult({
    attempt: job.attempts,
    outcome: retried ? { ...whole, reason: "cancelled" } : whole,
    queuedMs: job.queuedMs,
    startedAt: attempt.startedAt,
    finishedAt: now,
  });
  rows.end(job, result, now);
  return false;
}

/**
 * Settles everything a session was given whose worker cannot be asked; what it held is lost. So is an offer that is still open: its
 * acceptance may have been heard, and its command started, before that came to disk. Returns what became of each job.
 */
export function settleSession(
  rows: Rows,
  session: string,
  { now, why }: { now: number; why: string },
): { jobId: string; requeued: boolean }[] {
  return rows.jobsOf(session).map((job) => {
    if (job.state === "offered") acceptOffer(rows, job, now);
    return { jobId: job.id, requeued: takeBack(rows, job, { now, why }) };
  });
}

/** Takes one job from a worker that is gone or does not know of it; nothing ran of an offer. Returns whether it is queued. */
export function takeBack(rows: Rows, job: OpenJob, { now, why }: { now: number; why: string }): boolean {
  if (job.state === "offered") return returnOffer(rows, job, now);
  const outcome = lostOutcome(attemptOf(rows, job), now, why);
  return settle(rows, job, { outcome, now, reported: false });
}

function attemptOf(rows: Rows, job: OpenJob): AttemptRow {
  const attempt = rows.attempt(job.seq, job.attempts);
  if (attempt === undefined) throw new SallyportError("store_corrupt", `job ${job.id}: its attempt is gone`);
  return attempt;
}
