/**
 * Reads and locks what a group of calls decides on. Always in the same order, so that two hubs do not wait for each other. What does not
 * hang on an earlier answer is sent without waiting for it.
 */
import type { Transaction } from "./calls.ts";
import type { Connection } from "./connection.ts";
import { gistColumns } from "./gist.ts";
import type { AllNeeds } from "./needs.ts";
import type { AttemptRow, Loaded, OpenJob, Recorded, Share, Waiting, WorkerRow } from "./row-types.ts";
import { Rows } from "./rows.ts";
import { statement } from "./statement.ts";

const workerColumns = `worker_id AS "workerId", boot_id AS "bootId", turn, hub_id AS "hubId", session,
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

const jobColumns = `seq, id, pool, state, priority, vft, epoch, attempts, max_attempts AS "maxAttempts", session,
  worker_id AS "workerId", cancel_requested AS "cancelRequested", created_at AS "createdAt", queued_at AS "queuedAt",
  queued_ms AS "queuedMs", tenant`;

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

/**
 * As many turns as are wanted, and of each tenant that has some as many of its most urgent jobs. Hubs that claim from one pool pass over
 * what another is taking.
 */
const lockWaiting = statement(
  "lock_waiting",
  `WITH turns AS MATERIALIZED (
     SELECT w.* FROM unnest($1::text[], $2::bigint[]) AS wanted (pool, count)
      CROSS JOIN LATERAL (
        SELECT ${jobColumns} FROM open_jobs AS o WHERE o.pool = wanted.pool AND o.state = 'queued'
         ORDER BY o.vft, o.tenant, o.seq LIMIT wanted.count FOR UPDATE SKIP LOCKED) AS w),
   urgent AS MATERIALIZED (
     SELECT w.* FROM (SELECT pool, tenant, count(*) AS count FROM turns GROUP BY pool, tenant) AS t
      CROSS JOIN LATERAL (
        SELECT ${jobColumns} FROM open_jobs AS o WHERE o.pool = t.pool AND o.tenant = t.tenant AND o.state = 'queued'
         ORDER BY o.priority DESC, o.seq LIMIT t.count FOR UPDATE SKIP LOCKED) AS w)
   SELECT w.*, j.tenant AS "of", octet_length(j.spec) AS "specBytes",
          CASE WHEN octet_length(j.spec) <= 65536 THEN j.spec END AS spec
     FROM (SELECT * FROM turns UNION SELECT * FROM urgent) AS w JOIN jobs AS j ON j.seq = w.seq`,
);

/** Where the planner takes a full queue for an empty one, sorting all of it looks cheaper than a taller index that has the order. */
const sortNothing = statement("sort_nothing", "SELECT set_config('enable_sort', 'off', true)");
const sortAgain = statement("sort_again", "SELECT set_config('enable_sort', 'on', true)");

/** Of leavers also those that are offered, which a neighbour of the call may put back. */
const lockShares = statement(
  "lock_shares",
  `SELECT s.pool, s.tenant, last_vft AS "lastVft" FROM shares AS s
     JOIN (SELECT * FROM unnest($1::text[], $2::text[])
            UNION SELECT pool, tenant FROM open_jobs WHERE id = ANY ($3::text[])) AS n (pool, tenant)
       ON s.pool = n.pool AND s.tenant = n.tenant
    ORDER BY s.pool, s.tenant FOR UPDATE OF s`,
);

/** Of each tenant some job of which may leave, the last turns: as many as may lapse, and the one before them. */
const lockLast = statement(
  "lock_last",
  `SELECT w.* FROM (SELECT pool, tenant, count(*) AS count FROM open_jobs WHERE id = ANY ($1::text[])
                     GROUP BY pool, tenant) AS l CROSS JOIN LATERAL (
     SELECT ${jobColumns} FROM open_jobs AS o WHERE o.pool = l.pool AND o.tenant = l.tenant AND o.state = 'queued'
      ORDER BY - o.vft LIMIT l.count + 1 FOR UPDATE SKIP LOCKED) AS w`,
);

/** Two hubs may be the first with one tenant: the row is made, and locked, by who comes first. */
const enterShares = statement(
  "enter_shares",
  `INSERT INTO shares AS s (pool, tenant)
   SELECT DISTINCT pool, tenant FROM unnest($1::text[], $2::text[]) AS n (pool, tenant) ORDER BY pool, tenant
   ON CONFLICT (pool, tenant) DO UPDATE SET last_vft = s.last_vft RETURNING pool, tenant, last_vft AS "lastVft"`,
);

const readVtimes = statement("read_vtimes", "SELECT pool, vtime FROM pools WHERE pool = ANY ($1::text[])");

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

const recordedColumns = `seq, id, tenant, ${gistColumns("jobs")}, created_at AS "createdAt", request_digest AS digest,
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
  const { connection, begun } = transaction;
  const found = loadWorkers(transaction, needs);
  const sessions = isNamedBySession(needs) ? needs.sessions : await sessionsOf(needs, found);
  const { newJobs } = needs;
  const records = [...needs.records, ...newJobs.map(({ id }) => id)];
  const ids = [...new Set([...needs.jobs, ...records])];
  const keyed = newJobs.filter(({ key }) => key !== null);
  const [jobs, orphans, attempts, recorded, earlier, queued, seqs, { last, ...lines }, { workers, holders }] =
    await Promise.all([
      loadJobs(connection, ids, sessions),
      needs.expiredAt === null ? [] : connection.run<OpenJob>(lockOrphans),
      loadAttempts(connection, ids, sessions),
      ifAny(records, () => connection.run<Known>(readRecorded, [records])),
      ifAny(keyed, () =>
        connection.run<Known>(readEarlier, [keyed.map(({ tenant }) => tenant), keyed.map(({ key }) => key)]),
      ),
      ifAny(newJobs, () => connection.run<{ queued: number }>(countQueued)),
      ifAny(newJobs, () => connection.run<{ seq: number }>(drawSeqs, [newJobs.length])),
      loadLines(connection, needs),
      found,
      begun,
    ]);
  return new Rows(transaction, {
    jobs: [...last, ...orphans, ...jobs],
    orphans: orphans.map(({ id }) => id),
    attempts,
    recorded: [...recorded, ...earlier],
    workers: [...workers, ...holders],
    ...lines,
    queued: queued[0]?.queued ?? 0,
    seqs: seqs.map(({ seq }) => seq),
  });
}

type Known = Recorded & { key: string | null };

interface Workers {
  workers: WorkerRow[];
  /** those jobs are claimed for; what they have been given is not looked at */
  holders: WorkerRow[];
}

/** Whether the sessions that jobs are wanted of are known before any worker is read. */
function isNamedBySession({ workers, expiredAt }: AllNeeds): boolean {
  return workers.length === 0 && expiredAt === null;
}

async function sessionsOf({ sessions }: AllNeeds, found: Promise<Workers>): Promise<string[]> {
  const { workers } = await found;
  return [...sessions, ...workers.flatMap(({ session }) => session ?? [])];
}

/** Locked, so that no session is handed over meanwhile. */
async function loadWorkers({ connection, clock, begun }: Transaction, needs: AllNeeds): Promise<Workers> {
  const { sessions, workers, expiredAt, claims } = needs;
  const claiming = claims.map(({ sessionId }) => sessionId);
  const all = [...sessions, ...claiming];
  if (expiredAt !== null) await begun;
  const [found, expired] = await Promise.all([
    ifAny([...all, ...workers], () => connection.run<WorkerRow>(lockWorkers, [all, workers])),
    expiredAt === null ? [] : connection.run<WorkerRow>(lockExpired, [clock.toDatabase(expiredAt)]),
  ]);
  const known = new Set(found.map(({ workerId }) => workerId));
  const wanted = new Set([...sessions, ...workers]);
  // A lease that is over may be that of a holder, too.
  const isNamed = ({ session, workerId }: WorkerRow): boolean =>
    expiredAt !== null || wanted.has(workerId) || (session !== null && wanted.has(session));
  return {
    workers: [...found.filter(isNamed), ...expired.filter(({ workerId }) => !known.has(workerId))],
    holders: found.filter((worker) => !isNamed(worker)),
  };
}

/** Who waits in the pools that are claimed from, what the turn of a new job hangs on, and what turns are left when one leaves. */
async function loadLines(
  connection: Connection,
  { claims, newJobs, leavers }: AllNeeds,
): Promise<Pick<Loaded, "waiting" | "shares" | "pools"> & { last: OpenJob[] }> {
  const counts = new Map<string, number>();
  for (const { pool, limit } of claims) counts.set(pool, (counts.get(pool) ?? 0) + limit);
  const pools = [...new Set([...counts.keys(), ...newJobs.map(({ pool }) => pool)])];
  const [waiting, shares, last, vtimes] = await Promise.all([
    ifAny(claims, () => loadWaiting(connection, counts)),
    loadShares(connection, newJobs, leavers),
    // behind the statement that locks their shares: whoever held one before has left its turns
    ifAny(leavers, () => inOrder(connection, () => connection.run<OpenJob>(lockLast, [leavers]))),
    ifAny(pools, () => connection.run<{ pool: string; vtime: number }>(readVtimes, [pools])),
  ]);
  return { waiting, shares, last, pools: vtimes };
}

/** `counts`: by pool, how many turns. */
async function loadWaiting(connection: Connection, counts: ReadonlyMap<string, number>): Promise<Waiting[]> {
  const rows = await inOrder(connection, () =>
    connection.run<OpenJob & { of: string } & Omit<Waiting, "job" | "tenant">>(lockWaiting, [
      [...counts.keys()],
      [...counts.values()],
    ]),
  );
  return rows.map(({ of: tenant, spec, specBytes, ...job }) => ({ job, tenant, spec, specBytes }));
}

async function inOrder<T>(connection: Connection, run: () => Promise<T>): Promise<T> {
  const [, rows] = await Promise.all([connection.run(sortNothing), run(), connection.run(sortAgain)]);
  return rows;
}

/** All with one statement: two hubs that lock them in two, each in its own order, wait for each other. */
async function loadShares(
  connection: Connection,
  newJobs: AllNeeds["newJobs"],
  leavers: string[],
): Promise<Share[]> {
  const pools = newJobs.map(({ pool }) => pool);
  const tenants = newJobs.map(({ tenant }) => tenant);
  const known = await ifAny([...newJobs, ...leavers], () =>
    connection.run<Share>(lockShares, [pools, tenants, leavers]),
  );
  const names = new Set(known.map(({ pool, tenant }) => JSON.stringify([pool, tenant])));
  const isKnown = newJobs.every(({ pool, tenant }) => names.has(JSON.stringify([pool, tenant])));
  return isKnown ? known : [...known, ...(await connection.run<Share>(enterShares, [pools, tenants]))];
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
