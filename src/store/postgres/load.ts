/** Reads and locks what a group of calls decides on. Always in the same order, so that two hubs do not wait for each other. */
import type { Transaction } from "./calls.ts";
import type { Connection } from "./connection.ts";
import type { AllNeeds } from "./needs.ts";
import { Rows, type AttemptRow, type OpenJob, type Recorded, type WorkerRow } from "./rows.ts";
import { statement } from "./statement.ts";

const workerColumns = `worker_id AS "workerId", boot_id AS "bootId", hub_id AS "hubId", session,
  lease_until AS "leaseUntil", last_seen_at AS "lastSeenAt"`;

const lockWorkers = statement(
  "lock_workers",
  `SELECT ${workerColumns} FROM workers WHERE worker_id IN (
     SELECT worker_id FROM workers WHERE session = ANY ($1::text[])
      UNION SELECT unnest($2::text[])) ORDER BY worker_id FOR UPDATE`,
);

/** Rows another hub is renewing right now are left alone. */
const lockExpired = statement(
  "lock_expired",
  `SELECT ${workerColumns} FROM workers WHERE session IS NOT NULL AND lease_until <= $1
    ORDER BY worker_id FOR UPDATE SKIP LOCKED`,
);

const jobColumns = `seq, id, pool, state, epoch, attempts, max_attempts AS "maxAttempts", session,
  worker_id AS "workerId", cancel_requested AS "cancelRequested", queued_at AS "queuedAt", queued_ms AS "queuedMs"`;

const lockJobs = statement(
  "lock_jobs",
  `SELECT ${jobColumns} FROM open_jobs WHERE id = ANY ($1::text[]) ORDER BY seq FOR UPDATE`,
);

const lockJobsOfSessions = statement(
  "lock_jobs_of_sessions",
  `SELECT ${jobColumns} FROM open_jobs WHERE seq IN (
     SELECT seq FROM open_jobs WHERE id = ANY ($1::text[])
      UNION SELECT seq FROM open_jobs WHERE session = ANY ($2::text[])) ORDER BY seq FOR UPDATE`,
);

const lockOrphans = statement(
  "lock_orphans",
  `SELECT ${jobColumns} FROM open_jobs
    WHERE session IS NOT NULL AND state = 'offered' AND offered_at < clock_timestamp() - interval '60 seconds'
    ORDER BY seq FOR UPDATE SKIP LOCKED`,
);

const attemptColumns = `job, attempt, epoch, worker_id AS "workerId", leased_at AS "leasedAt",
  started_at AS "startedAt", finished_at AS "finishedAt", reason, reported, requeued, log_end AS "logEnd", stdout, stderr`;

const readAttempts = statement(
  "read_attempts",
  `SELECT ${attemptColumns} FROM attempts WHERE job IN (SELECT seq FROM jobs WHERE id = ANY ($1::text[]))`,
);

const readAttemptsOfSessions = statement(
  "read_attempts_of_sessions",
  `SELECT ${attemptColumns} FROM attempts WHERE job IN (
     SELECT seq FROM jobs WHERE id = ANY ($1::text[])
      UNION SELECT seq FROM open_jobs WHERE session = ANY ($2::text[]))`,
);

const recordedColumns = `seq, id, tenant, spec, created_at AS "createdAt", request_digest AS digest,
  idempotency_key AS key, state, cancel_requested AS "cancelRequested", result`;

const readRecorded = statement(
  "read_recorded",
  `SELECT ${recordedColumns} FROM jobs WHERE id = ANY ($1::text[])`,
);

const readEarlier = statement(
  "read_earlier",
  `SELECT ${recordedColumns} FROM jobs WHERE seq IN (
     SELECT j.seq FROM unnest($1::text[], $2::text[]) AS k (tenant, key)
       JOIN jobs AS j ON j.tenant = k.tenant AND j.idempotency_key = k.key)`,
);

const countQueued = statement("count_queued", "SELECT coalesce(sum(queued), 0)::bigint AS queued FROM pools");

const drawSeqs = statement(
  "draw_seqs",
  "SELECT nextval('job_seq') AS seq FROM generate_series(1, $1::integer)",
);

export async function load(transaction: Transaction, needs: AllNeeds): Promise<Rows> {
  const { connection } = transaction;
  const workers = await loadWorkers(transaction, needs);
  const sessions = [...needs.sessions, ...workers.flatMap(({ session }) => session ?? [])];
  const { newJobs } = needs;
  const records = [...needs.records, ...newJobs.map(({ id }) => id)];
  const ids = [...new Set([...needs.jobs, ...records])];
  const keyed = newJobs.filter(({ key }) => key !== null);
  const [jobs, orphans, attempts, recorded, earlier, queued, seqs] = await Promise.all([
    loadJobs(connection, ids, sessions),
    needs.expiredAt === null ? [] : connection.run<OpenJob>(lockOrphans),
    loadAttempts(connection, ids, sessions),
    ifAny(records, () => connection.run<Known>(readRecorded, [records])),
    ifAny(keyed, () =>
      connection.run<Known>(readEarlier, [keyed.map(({ tenant }) => tenant), keyed.map(({ key }) => key)]),
    ),
    ifAny(newJobs, () => connection.run<{ queued: number }>(countQueued)),
    ifAny(newJobs, () => connection.run<{ seq: number }>(drawSeqs, [newJobs.length])),
  ]);
  return new Rows(transaction, {
    jobs: [...orphans, ...jobs],
    orphans: orphans.map(({ id }) => id),
    attempts,
    recorded: [...recorded, ...earlier],
    workers,
    queued: queued[0]?.queued ?? 0,
    seqs: seqs.map(({ seq }) => seq),
  });
}

type Known = Recorded & { key: string | null };

async function loadWorkers({ connection, clock }: Transaction, needs: AllNeeds): Promise<WorkerRow[]> {
  const { sessions, workers, expiredAt } = needs;
  const named = await ifAny([...sessions, ...workers], () =>
    connection.run<WorkerRow>(lockWorkers, [sessions, workers]),
  );
  const expired =
    expiredAt === null ? [] : await connection.run<WorkerRow>(lockExpired, [clock.toDatabase(expiredAt)]);
  const known = new Set(named.map(({ workerId }) => workerId));
  return [...named, ...expired.filter(({ workerId }) => !known.has(workerId))];
}

function loadJobs(connection: Connection, ids: string[], sessions: string[]): Promise<OpenJob[]> {
  if (sessions.length > 0) return connection.run(lockJobsOfSessions, [ids, sessions]);
  return ifAny(ids, () => connection.run(lockJobs, [ids]));
}

/** A statement of its own, behind the one that locks: it sees what whoever held the lock before left. */
function loadAttempts(connection: Connection, ids: string[], sessions: string[]): Promise<AttemptRow[]> {
  if (sessions.length > 0) return connection.run(readAttemptsOfSessions, [ids, sessions]);
  return ifAny(ids, () => connection.run(readAttempts, [ids]));
}

async function ifAny<Row>(wanted: readonly unknown[], read: () => Promise<Row[]>): Promise<Row[]> {
  return wanted.length === 0 ? [] : await read();
}
