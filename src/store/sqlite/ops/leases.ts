import type { AttemptOutcome, LeaseRef } from "../../../protocol/index.ts";
import { wallClock } from "../../rules.ts";
import type { Fenced } from "../../contract.ts";
import type { Db } from "../database.ts";
import { readJob, type RawJob } from "../raw-job.ts";
import { acceptOffer, findAttempt, findJob, heldUnder, isHeld, refOf, returnOffer, settle } from "./rows.ts";

/** Recorded also when the offer is back in the queue already. */
export function release(db: Db, { lease, now }: { lease: LeaseRef; now: number }): Fenced {
  const job = findJob(db, lease.lease);
  if (job === undefined || job.epoch !== lease.epoch || job.attempts + 1 !== lease.attempt)
    return "superseded";
  if (job.state === "offered") returnOffer(db, job, now);
  return job.state === "offered" || job.state === "queued" ? "recorded" : "superseded";
}

export function accept(db: Db, { lease, now }: { lease: LeaseRef; now: number }): Fenced {
  const job = findJob(db, lease.lease);
  if (job === undefined || (job.state !== "offered" && !isHeld(job))) return "superseded";
  const { attempt, epoch } = refOf(job);
  if (lease.attempt !== attempt || lease.epoch !== epoch) return "superseded";
  if (job.state === "offered") acceptOffer(db, job, now);
  return "recorded";
}

export function started(db: Db, { lease, at }: { lease: LeaseRef; at: number }): Fenced {
  const job = heldUnder(db, lease);
  if (job === undefined) return "superseded";
  if (job.state === "running") return "recorded";
  db.run("UPDATE jobs SET state = 'running' WHERE seq = ?", job.seq);
  db.run(
    "UPDATE attempts SET started_at = ? WHERE job = ? AND attempt = ?",
    wallClock(at),
    job.seq,
    job.attempts,
  );
  return "recorded";
}

export interface Finished {
  fenced: Fenced;
  requeued: boolean;
  job: RawJob | null;
}

/** The first telling counts; the same worker may tell the end of its attempt again. */
export function finish(db: Db, args: { lease: LeaseRef; outcome: AttemptOutcome; now: number }): Finished {
  const { lease, outcome, now } = args;
  const held = heldUnder(db, lease);
  if (held !== undefined) {
    const requeued = settle(db, held, { outcome, now, reported: true });
    return { fenced: "recorded", requeued, job: readJob(db, lease.lease) ?? null };
  }
  const job = findJob(db, lease.lease);
  const attempt = job === undefined ? undefined : findAttempt(db, job.seq, lease.attempt);
  if (attempt === undefined || attempt.reported === 0 || attempt.epoch !== lease.epoch) {
    return { fenced: "superseded", requeued: false, job: null };
  }
  return { fenced: "recorded", requeued: attempt.requeued !== 0, job: readJob(db, lease.lease) ?? null };
}
