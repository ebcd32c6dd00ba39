import type { LeaseRef } from "../../../protocol/index.ts";
import { beyondEnd } from "../../rules.ts";
import type { Db } from "../database.ts";

export interface AppendArgs {
  lease: LeaseRef;
  from: number;
  bytes: Uint8Array;
  stdout: number;
  stderr: number;
}

interface End {
  seq: number;
  end: number;
  stdout: number;
  stderr: number;
}

/** The new durable end; rows and end change together. */
export function append(db: Db, args: AppendArgs): number | "superseded" {
  const { lease } = args;
  const at = db.get<End>(
    `SELECT seq, a.log_end AS end, a.stdout, a.stderr
       FROM jobs JOIN attempts AS a ON a.job = seq AND a.attempt = attempts
      WHERE id = ? AND jobs.epoch = ? AND attempts = ? AND state IN ('leased', 'running')`,
    lease.lease,
    lease.epoch,
    lease.attempt,
  );
  if (at === undefined) return "superseded";
  const part = beyondEnd(args, at.end);
  if (part === null) return at.end;
  const stop = at.end + part.bytes.length;
  db.run(
    `INSERT INTO log (job, attempt, start, stop, stdout_before, stderr_before, stdout, stderr, bytes)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    at.seq,
    lease.attempt,
    at.end,
    stop,
    at.stdout,
    at.stderr,
    part.stdout,
    part.stderr,
    part.bytes,
  );
  db.run(
    "UPDATE attempts SET log_end = ?, stdout = ?, stderr = ? WHERE job = ? AND attempt = ?",
    stop,
    at.stdout + part.stdout,
    at.stderr + part.stderr,
    at.seq,
    lease.attempt,
  );
  return stop;
}
