import type { Db } from "../database.ts";

/** Bounds of one step, so that others get their turn between two of them. */
const stepJobs = 200;
const stepRows = 500;
const stepBytes = 4 * 2 ** 20;
const stepPages = 2_000;

/** Takes up to a step's number of finished jobs out of sight, and leaves their bytes to `sweep`. Returns how many. */
export function forget(db: Db, { before }: { before: number }): number {
  const jobs = db.all<{ seq: number }>(
    "SELECT seq FROM jobs WHERE finished_at < ? ORDER BY finished_at LIMIT ?",
    before,
    stepJobs,
  );
  for (const { seq } of jobs) {
    db.run("INSERT INTO garbage (job) VALUES (?)", seq);
    db.run("DELETE FROM attempts WHERE job = ?", seq);
    db.run("DELETE FROM jobs WHERE seq = ?", seq);
  }
  return jobs.length;
}

/** Deletes a step's worth of what forgotten jobs left. Returns whether there is more. */
export function sweep(db: Db): boolean {
  const budget = { rows: stepRows, bytes: stepBytes };
  while (budget.rows > 0 && budget.bytes > 0) {
    const next = db.get<{ job: number }>("SELECT job FROM garbage LIMIT 1");
    if (next === undefined) return false;
    sweepJob(db, next.job, budget);
  }
  return true;
}

interface Budget {
  rows: number;
  bytes: number;
}

function sweepJob(db: Db, job: number, budget: Budget): void {
  budget.rows -= 1;
  for (const table of ["log", "artifact_parts", "inputs"]) {
    const rows = db.all<{ id: number; size: number }>(
      `SELECT id, length(bytes) AS size FROM ${table} WHERE job = ? LIMIT ?`,
      job,
      budget.rows + 1,
    );
    for (const { id, size } of rows) {
      if (budget.rows <= 0 || budget.bytes <= 0) return;
      db.run(`DELETE FROM ${table} WHERE id = ?`, id);
      budget.rows -= 1;
      budget.bytes -= size;
    }
  }
  db.run("DELETE FROM artifacts WHERE job = ?", job);
  db.run("DELETE FROM specs WHERE job = ?", job);
  db.run("DELETE FROM garbage WHERE job = ?", job);
}

/** Lets go of pools nobody waits in or may return to, and of workers not seen since `before`. */
export function tidy(db: Db, { before }: { before: number }): void {
  db.run(
    `DELETE FROM pools WHERE queued = 0 AND NOT EXISTS
       (SELECT 1 FROM jobs WHERE state IN ('offered', 'leased', 'running') AND jobs.pool = pools.pool)`,
  );
  db.run("DELETE FROM shares WHERE pool NOT IN (SELECT pool FROM pools)");
  db.run("DELETE FROM workers WHERE session IS NULL AND last_seen_at < ?", before);
}

/** Gives a step's worth of free pages back to the file system. Returns whether there are more. */
export function shrink(db: Db): boolean {
  db.exec(`PRAGMA incremental_vacuum(${stepPages})`);
  return db.pragma("freelist_count") > 0;
}
