/** Writes what a group of calls changed, with a number of statements that does not depend on how many calls there were. */
import type { Connection } from "./connection.ts";
import type { OpenJob } from "./row-types.ts";
import type { Rows } from "./rows.ts";
import { columns, statement, type Statement, type Value } from "./statement.ts";

/** Sends every statement at once. Rejects with the first that failed, once all are answered. */
export async function flush(connection: Connection, rows: Rows): Promise<void> {
  const sent = statementsFor(rows).map(({ what, values }) => connection.run(what, values));
  for (const result of await Promise.allSettled(sent)) {
    if (result.status === "rejected") throw result.reason;
  }
}

interface Planned {
  what: Statement;
  values: Value[];
}

function statementsFor(rows: Rows): Planned[] {
  return [
    ...writeWorkers(rows),
    ...writePools(rows),
    ...writeNewJobs(rows),
    ...writeJobs(rows),
    ...writeEnds(rows),
    ...writeAttempts(rows),
    ...writeLog(rows),
  ];
}

const insertWorkers = statement(
  "insert_workers",
  `INSERT INTO workers (worker_id, boot_id, turn, hub_id, session, lease_until, last_seen_at)
   SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])`,
);

const updateWorkers = statement(
  "update_workers",
  `UPDATE workers AS w SET boot_id = n.boot_id, turn = n.turn, hub_id = n.hub_id, session = n.session,
          lease_until = n.lease_until, last_seen_at = n.last_seen_at
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
          AS n (worker_id, boot_id, turn, hub_id, session, lease_until, last_seen_at)
    WHERE w.worker_id = n.worker_id`,
);

function writeWorkers({ newWorkers, changedWorkers }: Rows): Planned[] {
  const write = (what: Statement, workers: Rows["newWorkers"]): Planned[] =>
    plan(
      what,
      [...workers].map((worker) => [
        worker.workerId,
        worker.bootId,
        worker.turn,
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
  `INSERT INTO pools AS p (pool, profile, labels, queued, vtime)
   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::float8[])
          AS n (pool, profile, labels, queued, vtime) ORDER BY pool
   ON CONFLICT (pool) DO UPDATE SET queued = p.queued + excluded.queued, vtime = greatest(p.vtime, excluded.vtime)`,
);

const movePools = statement(
  "move_pools",
  `UPDATE pools AS p SET queued = p.queued + n.change, vtime = greatest(p.vtime, n.vtime)
     FROM (SELECT * FROM unnest($1::text[], $2::bigint[], $3::float8[]) AS u (pool, change, vtime) ORDER BY pool) AS n
    WHERE p.pool = n.pool`,
);

function writePools({ newJobs, queuedBy, vtimes }: Rows): Planned[] {
  const entered = new Map(newJobs.map((job) => [job.pool, job]));
  const moved = [...new Set([...queuedBy.keys(), ...vtimes.keys()])].filter((pool) => !entered.has(pool));
  const move = (pool: string): number[] => [queuedBy.get(pool) ?? 0, vtimes.get(pool) ?? 0];
  return [
    ...plan(
      enterPools,
      [...entered.values()].map(({ pool, profile, labels }) => [pool, profile, labels, ...move(pool)]),
    ),
    ...plan(
      movePools,
      moved.map((pool) => [pool, ...move(pool)]),
    ),
  ];
}

const insertJobs = statement(
  "insert_jobs",
  `INSERT INTO jobs (seq, id, tenant, profile, created_at, idempotency_key, request_digest, spec,
                     priority, labels)
   SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
                        $9::integer[], $10::text[])`,
);

const writeShare = statement(
  "write_shares",
  `INSERT INTO shares (pool, tenant, last_vft)
   SELECT * FROM unnest($1::text[], $2::text[], $3::float8[]) AS n (pool, tenant, last_vft) ORDER BY pool, tenant
   ON CONFLICT (pool, tenant) DO UPDATE SET last_vft = excluded.last_vft`,
);

/** As its calls leave it: a job that is handed over with the commit that takes it is written once. */
const insertOpenJobs = statement(
  "insert_open_jobs",
  `INSERT INTO open_jobs (seq, id, pool, state, priority, vft, epoch, attempts, max_attempts, session, worker_id,
                          cancel_requested, created_at, queued_at, queued_ms, tenant, offered_at)
   SELECT n.*, clock_timestamp()
     FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::float8[], $7::bigint[],
                 $8::integer[], $9::integer[], $10::text[], $11::text[], $12::boolean[], $13::bigint[], $14::bigint[],
                 $15::bigint[], $16::text[]) AS n`,
);

const insertInput = statement(
  "insert_input",
  "INSERT INTO inputs (job, part, bytes) VALUES ($1::bigint, $2::integer, $3::bytea)",
);

function writeNewJobs({ newJobs, newOpenJobs, changedShares }: Rows): Planned[] {
  return [
    ...plan(
      insertJobs,
      newJobs.map((job) => [
        job.seq,
        job.id,
        job.tenant,
        job.profile,
        job.createdAt,
        job.key,
        job.digest,
        job.spec,
        job.priority,
        job.labels,
      ]),
    ),
    ...plan(
      writeShare,
      [...changedShares].map(({ pool, tenant, lastVft }) => [pool, tenant, lastVft]),
    ),
    ...plan(insertOpenJobs, [...newOpenJobs].map(openRow)),
    ...newJobs.flatMap(({ seq, inputs }) =>
      inputs.map((bytes, part) => ({ what: insertInput, values: [seq, part, bytes] })),
    ),
  ];
}

function openRow(job: OpenJob): Value[] {
  const { seq, id, pool, state, priority, vft, epoch, attempts, maxAttempts, session, workerId } = job;
  const { cancelRequested, createdAt, queuedAt, queuedMs, tenant } = job;
  const first = [seq, id, pool, state, priority, vft, epoch, attempts, maxAttempts, session, workerId];
  return [...first, cancelRequested, createdAt, queuedAt, queuedMs, tenant];
}

const updateJobs = statement(
  "update_jobs",
  `UPDATE open_jobs AS o SET state = n.state, epoch = n.epoch, attempts = n.attempts, session = n.session,
          worker_id = n.worker_id, cancel_requested = n.cancel_requested, queued_at = n.queued_at, queued_ms = n.queued_ms,
          vft = n.vft,
          offered_at = CASE WHEN n.epoch > o.epoch THEN clock_timestamp() ELSE o.offered_at END
     FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::boolean[], $8::bigint[],
                 $9::bigint[], $10::float8[])
          AS n (seq, state, epoch, attempts, session, worker_id, cancel_requested, queued_at, queued_ms, vft)
    WHERE o.seq = n.seq`,
);

function writeJobs({ changedJobs }: Rows): Planned[] {
  const changed = [...changedJobs].map((job) => {
    const { seq, state, epoch, attempts, session, workerId, cancelRequested, queuedAt, queuedMs, vft } = job;
    return [seq, state, epoch, attempts, session, workerId, cancelRequested, queuedAt, queuedMs, vft];
  });
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

function plan(what: Statement, rows: readonly (readonly Value[])[]): Planned[] {
  const [first] = rows;
  return first === undefined ? [] : [{ what, values: columns(rows, first.length) }];
}
