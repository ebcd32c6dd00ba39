import type { AttemptOutcome, LeaseRef } from "../../../protocol/index.ts";
import type { Fenced, JobRecord } from "../../contract.ts";
import { mayRetry, wallClock } from "../../rules.ts";
import type { RowCall } from "../calls.ts";
import { acceptOffer, heldUnder, isHeld, refOf, returnOffer, settle } from "./transitions.ts";

/** Recorded also when the offer is back in the queue already. */
export function release(lease: LeaseRef, now: number): RowCall<Fenced> {
  return {
    kind: "rows",
    needs: { jobs: [lease.lease] },
    requeues: true,
    decide: (rows) => {
      const job = rows.job(lease.lease);
      if (job === undefined || job.epoch !== lease.epoch || job.attempts + 1 !== lease.attempt)
        return "superseded";
      if (job.state === "offered") returnOffer(rows, job, now);
      else if (job.state !== "queued") return "superseded";
      return "recorded";
    },
  };
}

export function accept(lease: LeaseRef, now: number): RowCall<Fenced> {
  return {
    kind: "rows",
    needs: { jobs: [lease.lease] },
    decide: (rows) => {
      const job = rows.job(lease.lease);
      if (job === undefined || (job.state !== "offered" && !isHeld(job))) return "superseded";
      const { attempt, epoch } = refOf(job);
      if (lease.attempt !== attempt || lease.epoch !== epoch) return "superseded";
      if (job.state === "offered") acceptOffer(rows, job, now);
      return "recorded";
    },
  };
}

export function started(lease: LeaseRef, at: number): RowCall<Fenced> {
  return {
    kind: "rows",
    needs: { jobs: [lease.lease] },
    decide: (rows) => {
      const job = heldUnder(rows, lease);
      const attempt = job && rows.attempt(job.seq, job.attempts);
      if (job === undefined || attempt === undefined) return "superseded";
      if (job.state === "running") return "recorded";
      rows.update(job, { state: "running" });
      rows.updateAttempt(attempt, { startedAt: wallClock(at) });
      return "recorded";
    },
  };
}

export interface Finished {
  fenced: Fenced;
  requeued: boolean;
  job: JobRecord | null;
}

/** The first telling counts; the same worker may tell the end of its attempt again. */
export function finish(lease: LeaseRef, outcome: AttemptOutcome, now: number): RowCall<Finished> {
  return {
    kind: "rows",
    needs: { records: [lease.lease] },
    requeues: mayRetry({ attempts: 0, maxAttempts: 1 }, outcome),
    decide: (rows) => {
      const held = heldUnder(rows, lease);
      if (held !== undefined) {
        const requeued = settle(rows, held, { outcome, now, reported: true });
        return { fenced: "recorded", requeued, job: rows.record(lease.lease) };
      }
      const recorded = rows.recorded(lease.lease);
      const attempt = recorded && rows.attempt(recorded.seq, lease.attempt);
      if (attempt === undefined || !attempt.reported || attempt.epoch !== lease.epoch) {
        return { fenced: "superseded", requeued: false, job: null };
      }
      return { fenced: "recorded", requeued: attempt.requeued, job: rows.record(lease.lease) };
    },
  };
}
