import type { DirectCall } from "../calls.ts";
import { statement } from "../statement.ts";

/** Bounds of one step, so that others get their turn between two of them. */
const stepJobs = 200;
const stepRows = 200;

const forgetJobs = statement(
  "forget",
  `WITH gone AS (
     DELETE FROM jobs WHERE seq IN (
       SELECT seq FROM jobs WHERE finished_at < $1 ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)
     RETURNING seq),
   left_behind AS (DELETE FROM attempts WHERE job IN (SELECT seq FROM gone)),
   noted AS (INSERT INTO garbage (job) SELECT seq FROM gone)
   SELECT count(*) AS jobs FROM gone`,
);

/** Takes up to a step's number of finished jobs out of sight, and leaves their bytes to `sweep`. Returns how many. */
export function forget(before: number): DirectCall<number> {
  return {
    kind: "direct",
    single: true,
    run: async ({ connection }) => {
      const [gone] = await connection.run<{ jobs: number }>(forgetJobs, [before, stepJobs]);
      return gone?.jobs ?? 0;
    },
  };
}

const lockGarbage = statement(
  "lock_garbage",
  "SELECT job FROM garbage ORDER BY job LIMIT 50 FOR UPDATE SKIP LOCKED",
);

const sweepTables = ["log", "artifact_parts", "inputs"].map((table) =>
  statement(
    `sweep_${table}`,
    `WITH gone AS (
       DELETE FROM ${table} WHERE ctid = ANY (ARRAY (
         SELECT ctid FROM ${table} WHERE job = ANY ($1::bigint[]) LIMIT $2)) RETURNING 1)
     SELECT count(*) AS rows FROM gone`,
  ),
);

const sweepRest = statement(
  "sweep_rest",
  `WITH artifacts_gone AS (DELETE FROM artifacts WHERE job = ANY ($1::bigint[]))
   DELETE FROM garbage WHERE job = ANY ($1::bigint[])`,
);

/** Deletes a step's worth of what forgotten jobs left. Returns whether there may be more. */
export function sweep(): DirectCall<boolean> {
  return {
    kind: "direct",
    single: false,
    run: async ({ connection }) => {
      const locked = await connection.run<{ job: number }>(lockGarbage);
      const jobs = locked.map(({ job }) => job);
      if (jobs.length === 0) return false;
      for (const table of sweepTables) {
        const [gone] = await connection.run<{ rows: number }>(table, [jobs, stepRows]);
        if (gone !== undefined && gone.rows >= stepRows) return true;
      }
      await connection.run(sweepRest, [jobs]);
      return true;
    },
  };
}

/** Nobody's count of a pool changes between the look at it and its end. */
const lockPools = statement("lock_pools", "LOCK TABLE pools IN SHARE ROW EXCLUSIVE MODE");

const tidyPools = statement(
  "tidy_pools",
  "DELETE FROM pools WHERE queued = 0 AND pool NOT IN (SELECT pool FROM open_jobs)",
);

const tidyShares = statement(
  "tidy_shares",
  "DELETE FROM shares WHERE NOT EXISTS (SELECT FROM pools WHERE pools.pool = shares.pool)",
);

const tidyWorkers = statement(
  "tidy_workers",
  "DELETE FROM workers WHERE session IS NULL AND last_seen_at < $1",
);

/** Lets go of pools nobody waits in or may return to, and of workers not seen since `before`. */
export function tidy(before: number): DirectCall<void> {
  return {
    kind: "direct",
    single: false,
    run: async ({ connection }) => {
      await connection.run(lockPools);
      await connection.run(tidyPools);
      await connection.run(tidyShares);
      await connection.run(tidyWorkers, [before]);
    },
  };
}
