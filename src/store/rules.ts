/** What every engine decides alike: who may be tried again, how a job's result is made, which jobs wait together. */
import { SallyportError } from "../errors.ts";
import {
  countOutput,
  orderLives,
  terminalState,
  type AttemptOutcome,
  type EndReason,
  type JobResult,
  type JobSpec,
} from "../protocol/index.ts";

/** Ends that say nothing about the program: it was lost, or never ran. */
const lostReasons: ReadonlySet<EndReason> = new Set(["worker_lost", "sandbox_lost", "never_started"]);

/** Tries beyond `maxAttempts` for a command that is known never to have started */
const neverStartedTries = 3;

export interface Tries {
  /** accepted attempts, the one that ended included */
  attempts: number;
  maxAttempts: number;
}

/** Whether a job is queued again after an attempt ended like this. A program's own end is a result and never retried. */
export function mayRetry(tries: Tries, outcome: Pick<AttemptOutcome, "reason" | "error">): boolean {
  if (!lostReasons.has(outcome.reason)) return false;
  if (tries.attempts < tries.maxAttempts) return true;
  if (outcome.reason !== "never_started" || outcome.error === null) return false;
  const mayHelp = SallyportError.fromWire(outcome.error).retryable;
  return mayHelp && tries.attempts < tries.maxAttempts + neverStartedTries;
}

export interface Ending {
  attempt: number;
  outcome: AttemptOutcome;
  queuedMs: number;
  /** wall clock `ms` */
  startedAt: number | null;
  finishedAt: number;
}

export function buildResult(ending: Ending): JobResult {
  const { outcome } = ending;
  return {
    state: terminalState(outcome.reason, outcome.exitCode),
    exitCode: outcome.exitCode,
    signal: outcome.signal,
    reason: outcome.reason,
    attempt: ending.attempt,
    startedAt: ending.startedAt === null ? null : new Date(ending.startedAt).toISOString(),
    finishedAt: new Date(ending.finishedAt).toISOString(),
    timings: { queuedMs: ending.queuedMs, ...outcome.timings },
    usage: outcome.usage,
    output: { ...outcome.output, missing: outcome.missing },
    oom: outcome.oom,
    artifacts: outcome.artifacts,
    calls: outcome.calls,
    error: outcome.error,
  };
}

/** What is durable of an attempt. */
export interface DurableAttempt {
  leasedAt: number;
  startedAt: number | null;
  logEnd: number;
  stdout: number;
  stderr: number;
}

/** The outcome of an attempt whose worker can no longer report one. */
export function lostOutcome(attempt: DurableAttempt, now: number, why: string): AttemptOutcome {
  const { leasedAt, startedAt } = attempt;
  return {
    ...unheardOutcome("worker_lost"),
    timings: {
      startMs: startedAt === null ? 0 : Math.max(0, startedAt - leasedAt),
      runMs: startedAt === null ? 0 : Math.max(0, now - startedAt),
      warm: false,
    },
    output: { stdoutBytes: attempt.stdout, stderrBytes: attempt.stderr, truncated: false },
    logEnd: attempt.logEnd,
    error: { code: "channel_closed", message: why },
  };
}

/** The outcome of a job that is cancelled while it waits: what is kept is what its last attempt printed, if there was one. */
export function cancelledOutcome(
  last: Pick<DurableAttempt, "logEnd" | "stdout" | "stderr"> | undefined,
): AttemptOutcome {
  const { logEnd = 0, stdout = 0, stderr = 0 } = last ?? {};
  const output = { stdoutBytes: stdout, stderrBytes: stderr, truncated: false };
  return { ...unheardOutcome("cancelled"), output, logEnd };
}

/** The outcome of a job that ends while nobody runs it. */
export function unheardOutcome(reason: "worker_lost" | "cancelled"): AttemptOutcome {
  return {
    reason,
    exitCode: null,
    signal: null,
    oom: false,
    timings: { startMs: 0, runMs: 0, warm: false },
    usage: { cpuMs: 0, maxRssBytes: 0 },
    output: { stdoutBytes: 0, stderrBytes: 0, truncated: false },
    logEnd: 0,
    missing: null,
    artifacts: [],
    calls: 0,
    error: null,
  };
}

/** Names the part of the log that was told of but never came, where the worker did not name it itself. */
export function withMissing(outcome: AttemptOutcome, durableEnd: number): AttemptOutcome {
  if (outcome.missing !== null || outcome.logEnd <= durableEnd) return outcome;
  return { ...outcome, missing: { from: durableEnd, to: outcome.logEnd } };
}

/** Whole records of a log, from `from` on. */
export interface LogPart {
  from: number;
  bytes: Uint8Array;
  /** bytes of each stream in them */
  stdout: number;
  stderr: number;
}

/** What of it lies beyond the durable end; null when nothing does. Throws `protocol_violation` for a gap. */
export function beyondEnd(part: LogPart, end: number): Omit<LogPart, "from"> | null {
  if (part.from > end) {
    throw new SallyportError("protocol_violation", `log: ${part.from} does not follow on ${end}`, {
      details: { field: "from", expected: end },
    });
  }
  const known = end - part.from;
  if (known === 0 && part.bytes.length > 0) return part;
  if (part.bytes.length <= known) return null;
  const bytes = part.bytes.subarray(known);
  const { stdoutBytes: stdout, stderrBytes: stderr } = countOutput(bytes);
  return { bytes, stdout, stderr };
}

/** bytes of specs behind which a claim takes no further job: neither who claims nor the worker is to take in too much at once */
export const claimBytes = 1 * 2 ** 20;

/** The same for every job any worker that can take one of them can take. */
export function poolOf(spec: JobSpec): { pool: string; labels: string } {
  const sorted = Object.entries(spec.labels).sort(([a], [b]) => (a < b ? -1 : 1));
  const labels = JSON.stringify(Object.fromEntries(sorted));
  return { pool: sorted.length === 0 ? spec.profile : `${spec.profile} ${labels}`, labels };
}

/** The labels of the jobs of such a pool. */
export function labelsOf(pool: string, profile: string): JobSpec["labels"] {
  return pool === profile ? {} : (JSON.parse(pool.slice(profile.length)) as JobSpec["labels"]);
}

/** Throws `lease_superseded` when the worker has opened a session with this turn or a later one, as far as the two can be compared. */
export function checkTurn(
  before: { bootId: string; turn: number },
  { bootId, turn }: { bootId: string; turn: number },
): void {
  const comparable = bootId === before.bootId || orderLives(turn, before.turn);
  if (turn === 0 || !comparable || turn > before.turn) return;
  throw new SallyportError("lease_superseded", `hello: turn ${turn} came behind turn ${before.turn}`);
}

/**
 * The epoch of a job's next claim. The first, 1, is kept for the claim that goes along with the submission: an offer sent ahead of
 * that claim names its grant, which no other claim of the same job may then bear.
 */
export function nextEpoch(epoch: number, isAlong: boolean): number {
  if (epoch > 0) return epoch + 1;
  return isAlong ? 1 : 2;
}

/** The last wall clock `ms` with a year of four digits, which is what dates on the wire have. */
const lastMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** What a worker says its clock shows, as one that can be told as a date. */
export function wallClock(ms: number): number {
  return Math.min(Math.max(Math.round(ms), 0), lastMs);
}
