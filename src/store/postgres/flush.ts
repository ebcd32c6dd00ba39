/** Writes what a group of calls changed, with a number of statements that does not depend on how many calls there were. */
import { SallyportError } from "../../errors.ts";
import type { Connection } from "./connection.ts";
import type { NewJobRow, Rows } from "./rows.ts";
import { columns, statement, type Statement } from "./statement.ts";

/** Sends every statement at once. Rejects with the first that failed, once all are answered. */
export async function flush(connection: Connection, rows: Rows): Promise<void> {
  const sent = statementsFor(rows).map((planned) => send(connection, planned));
  for (const result of await Promise.allSettled(sent)) {
    if (result.status === "rejected") throw result.reason;
  }
}

interface Planned {
  what: Statement;
  values: unknown[];
  /** how many rows it must have written, where it says so */
  returns?: number;
}

async function send(connection: Connection, { what, values, returns }: Planned): Promise<void> {
  const rows = await connection.run(what, values);
  if (returns === undefined || rows.length === returns) return;
  throw new SallyportError("store_corrupt", `store: ${what.name} wrote ${rows.length} rows of ${returns}`);
}

function statementsFor(rows: Rows): Planned[] {
  return [
    ...writeWorkers(rows),
    ...writePools(rows),
    ...writeNewJobs(rows.newJobs),
    ...writeJobs(rows),
    ...writeEnds(rows),
    ...writeAttempts(rows),
    ...writeLog(rows),
  ];
}

const insertWorkers = statement(
  "insert_workers",
  `INSERT INTO workers (worker_id, boot_id, hub_id, session, lease_until, last_seen_at)
   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])`,
);

const updateWorkers = statement(
  "update_workers",
  `UPDATE workers AS w SET boot_id = n.boot_id, hub_id = n.hub_id, session = n.session, lease_until = n.lease_until,
          last_seen_at = n.last_seen_at
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
          AS n (worker_id, boot_id, hub_id, session, lease_until, last_seen_at)
    WHERE w.worker_id = n.worker_id`,
);

function writeWorkers({ newWorkers, changedWorkers }: Rows): Planned[] {
  const write = (what: Statement, workers: Rows["newWorkers"]): Planned[] =>
    plan(
      what,
      [...workers].map((worker) => [
        worker.workerId,
        worker.bootId,
        worker.hubId,
        worker.session,
        worker.leaseUntil,
        worker.lastSeenAt,
      ]),
    );
  return [...write(insertWorkers, newWorkers), ...write(updateWorkers, changedWorkers)];
}

/** Locks the pool's row also when its count stays as it is, so that no other hub takes the row away meanwhile. */
const enterPools = statement(
  "enter_pools",
  `INSERT INTO pools AS p (pool, profile, labels, queued)
   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS n (pool, profile, labels, queued) ORDER BY pool
   ON CONFLICT (pool) DO UPDATE SET queued = p.queued + excluded.queued`,
);

const countPools = statement(
  "count_pools",
  `UPDATE pools AS p SET queued = p.queued + n.change FROM unnest($1::text[], $2::bigint[]) AS n (pool, change)
    WHERE p.pool = n.pool`,
);

function writePools({ newJobs, queuedBy }: Rows): Planned[] {
  const entered = new Map(newJobs.map((job) => [job.pool, job]));
  const counts = [...queuedBy].filter(([pool, change]) => change !== 0 && !entered.has(pool));
  return [
    ...plan(
      enterPools,
      [...entered.values()].map(({ pool, profile, labels }) => [
        pool,
        profile,
        labels,
        queuedBy.get(pool) ?? 0,
      ]),
    ),
    ...plan(countPools, counts.toSorted(byFirst)),
  ];
}

const insertJobs = statement(
  "insert_jobs",
  `INSERT INTO jobs (seq, id, tenant, profile, created_at, idempotency_key, request_digest, spec)
   SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[])`,
);

const insertShares = statement(
  "insert_shares",
  `INSERT INTO shares (pool, tenant)
   SELECT pool, tenant FROM unnest($1::text[], $2::text[]) AS n (pool, tenant) ORDER BY pool, tenant ON CONFLICT DO NOTHING`,
);

/**
 * Start-time fair queueing: a job's virtual finish is one quantum behind its tenant's last, or behind the pool's present. The share
 * grows by what all of the tenant's new jobs take; `ahead` is what one job and those before it take of that.
 */
const insertOpenJobs = statement(
  "insert_open_jobs",
  `WITH grown AS (
     UPDATE shares AS s SET last_vft = greatest(s.last_vft, p.vtime) + g.total
       FROM unnest($1::text[], $2::text[], $3::float8[]) AS g (pool, tenant, total) JOIN pools AS p ON p.pool = g.pool
      WHERE s.pool = g.pool AND s.tenant = g.tenant
     RETURNING s.pool, s.tenant, s.last_vft - g.total AS base)
   INSERT INTO open_jobs (seq, id, pool, state, priority, vft, max_attempts, created_at, queued_at)
   SELECT n.seq, n.id, n.pool, 'queued', n.priority, grown.base + n.ahead, n.max_attempts, n.now, n.now
     FROM unnest($4::bigint[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::float8[], $10::integer[], $11::bigint[])
          AS n (seq, id, pool, tenant, priority, ahead, max_attempts, now)
     JOIN grown ON grown.pool = n.pool AND grown.tenant = n.tenant
   RETURNING 1`,
);

const insertInput = statement(
  "insert_input",
  "INSERT INTO inputs (job, part, bytes) VALUES ($1::bigint, $2::integer, $3::bytea)",
);

function writeNewJobs(jobs: readonly NewJobRow[]): Planned[] {
  if (jobs.length === 0) return [];
  const totals = new Map<string, { pool: string; tenant: string; total: number }>();
  const open = jobs.map((job) => {
    const { pool, tenant } = job;
    const name = JSON.stringify([pool, tenant]);
    const share = totals.get(name) ?? { pool, tenant, total: 0 };
    share.total += 1 / job.weight;
    totals.set(name, share);
    const { seq, id, priority, maxAttempts, createdAt } = job;
    return [seq, id, pool, tenant, priority, share.total, maxAttempts, createdAt];
  });
  const shares = [...totals.values()].map(({ pool, tenant, total }) => [pool, tenant, total]);
  return [
    ...plan(
      insertJobs,
      jobs.map(({ seq, id, tenant, profile, createdAt, key, digest, spec }) => [
        seq,
        id,
        tenant,
        profile,
        createdAt,
        key,
        digest,
        spec,
      ]),
    ),
    { what: insertShares, values: columns(shares, 2) },
    { what: insertOpenJobs, values: [...columns(shares, 3), ...columns(open, 8)], returns: jobs.length },
    ...jobs.flatMap(({ seq, inputs }) =>
      inputs.map((bytes, part) => ({ what: insertInput, values: [seq, part, bytes] })),
    ),
  ];
}

const updateJobs = statement(
  "update_jobs",
  `UPDATE open_jobs AS o SET state = n.state, attempts = n.attempts, session = n.session, worker_id = n.worker_id,
          cancel_requested = n.cancel_requested, queued_at = n.queued_at, queued_ms = n.queued_ms
     FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::boolean[], $7::bigint[], $8::bigint[])
          AS n (seq, state, attempts, session, worker_id, cancel_requested, queued_at, queued_ms)
    WHERE o.seq = n.seq`,
);

function writeJobs({ changedJobs }: Rows): Planned[] {
  const changed = [...changedJobs].map((job) => [
    job.seq,
    job.state,
    job.attempts,
    job.session,
    job.workerId,
    job.cancelRequested,
    job.queuedAt,
    job.queuedMs,
  ]);
  return plan(updateJobs, changed);
}

const deleteOpenJobs = statement("delete_open_jobs", "DELETE FROM open_jobs WHERE seq = ANY ($1::bigint[])");

const endJobs = statement(
  "end_jobs",
  `UPDATE jobs AS j SET state = n.state, cancel_requested = n.cancel_requested, finished_at = n.finished_at, result = n.result
     FROM unnest($1::bigint[], $2::text[], $3::boolean[], $4::bigint[], $5::text[])
          AS n (seq, state, cancel_requested, finished_at, result)
    WHERE j.seq = n.seq`,
);

function writeEnds({ ended }: Rows): Planned[] {
  const ends = ended.map(({ job, result, finishedAt }) => [
    job.seq,
    result.state,
    job.cancelRequested,
    finishedAt,
    JSON.stringify(result),
  ]);
  if (ends.length === 0) return [];
  return [
    { what: deleteOpenJobs, values: columns(ends, 1) },
    { what: endJobs, values: columns(ends, 5) },
  ];
}

const writeAttempt = statement(
  "write_attempts",
  `INSERT INTO attempts AS a (job, attempt, epoch, worker_id, leased_at, started_at, finished_at, reason, reported, requeued,
                              log_end, stdout, stderr)
   SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                        $8::text[], $9::boolean[], $10::boolean[], $11::bigint[], $12::bigint[], $13::bigint[])
   ON CONFLICT (job, attempt) DO UPDATE SET started_at = excluded.started_at, finished_at = excluded.finished_at,
     reason = excluded.reason, reported = excluded.reported, requeued = excluded.requeued, log_end = excluded.log_end,
     stdout = excluded.stdout, stderr = excluded.stderr`,
);

function writeAttempts({ changedAttempts }: Rows): Planned[] {
  const changed = [...changedAttempts].map((row) => [
    row.job,
    row.attempt,
    row.epoch,
    row.workerId,
    row.leasedAt,
    row.startedAt,
    row.finishedAt,
    row.reason,
    row.reported,
    row.requeued,
    row.logEnd,
    row.stdout,
    row.stderr,
  ]);
  return plan(writeAttempt, changed);
}

/** One statement each: bytes travel as they are, not as text inside an array. */
const insertLog = statement(
  "insert_log",
  `INSERT INTO log (job, attempt, start, stop, stdout_before, stderr_before, stdout, stderr, bytes)
   VALUES ($1::bigint, $2::integer, $3::bigint, $4::bigint, $5::bigint, $6::bigint, $7::bigint, $8::bigint, $9::bytea)`,
);

function writeLog({ log }: Rows): Planned[] {
  return log.map((row) => ({
    what: insertLog,
    values: [
      row.job,
      row.attempt,
      row.start,
      row.stop,
      row.stdoutBefore,
      row.stderrBefore,
      row.stdout,
      row.stderr,
      row.bytes,
    ],
  }));
}

function plan(what: Statement, rows: readonly (readonly unknown[])[]): Planned[] {
  const [first] = rows;
  return first === undefined ? [] : [{ what, values: columns(rows, first.length) }];
}

function byFirst([a]: readonly [string, number], [b]: readonly [string, number]): number {
  return a < b ? -1 : 1;
}
