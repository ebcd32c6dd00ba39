/**
 * The tables. A job's row is narrow, because it changes with every step; what is written once and may be large (spec, inputs, log,
 * artifacts) stands apart, under `job` = `jobs.seq`. Times are wall clock `ms`. `seq` is never used twice.
 */
export const schemaV1 = `
CREATE TABLE pools (
  pool    TEXT PRIMARY KEY,
  profile TEXT NOT NULL,
  labels  TEXT NOT NULL,
  vtime   REAL NOT NULL DEFAULT 0,
  queued  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE shares (
  pool     TEXT NOT NULL,
  tenant   TEXT NOT NULL,
  last_vft REAL NOT NULL,
  PRIMARY KEY (pool, tenant)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  seq              INTEGER PRIMARY KEY AUTOINCREMENT,
  id               TEXT NOT NULL UNIQUE,
  tenant           TEXT NOT NULL,
  pool             TEXT NOT NULL,
  profile          TEXT NOT NULL,
  state            TEXT NOT NULL,
  priority         INTEGER NOT NULL,
  vft              REAL NOT NULL,
  epoch            INTEGER NOT NULL DEFAULT 0,
  attempts         INTEGER NOT NULL DEFAULT 0,
  max_attempts     INTEGER NOT NULL,
  session          TEXT,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  created_at       INTEGER NOT NULL,
  queued_at        INTEGER NOT NULL,
  queued_ms        INTEGER NOT NULL DEFAULT 0,
  finished_at      INTEGER,
  idempotency_key  TEXT,
  request_digest   TEXT NOT NULL,
  result           TEXT
) STRICT;
CREATE INDEX jobs_waiting ON jobs (pool, priority DESC, vft) WHERE state = 'queued';
CREATE INDEX jobs_oldest ON jobs (pool, created_at) WHERE state = 'queued';
CREATE INDEX jobs_held ON jobs (session) WHERE session IS NOT NULL;
CREATE INDEX jobs_by_tenant ON jobs (tenant);
CREATE INDEX jobs_by_state ON jobs (state);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_key ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TRIGGER jobs_enter AFTER INSERT ON jobs WHEN NEW.state = 'queued' BEGIN
  UPDATE pools SET queued = queued + 1 WHERE pool = NEW.pool;
END;
CREATE TRIGGER jobs_wait AFTER UPDATE OF state ON jobs WHEN NEW.state = 'queued' AND OLD.state <> 'queued' BEGIN
  UPDATE pools SET queued = queued + 1 WHERE pool = NEW.pool;
END;
CREATE TRIGGER jobs_leave AFTER UPDATE OF state ON jobs WHEN OLD.state = 'queued' AND NEW.state <> 'queued' BEGIN
  UPDATE pools SET queued = queued - 1 WHERE pool = NEW.pool;
END;

CREATE TABLE specs (job INTEGER PRIMARY KEY, spec TEXT NOT NULL) STRICT;

CREATE TABLE inputs (
  id    INTEGER PRIMARY KEY,
  job   INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;
CREATE INDEX inputs_by_job ON inputs (job);

CREATE TABLE attempts (
  job         INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  worker_id   TEXT NOT NULL,
  leased_at   INTEGER NOT NULL,
  started_at  INTEGER,
  finished_at INTEGER,
  reason      TEXT,
  reported    INTEGER NOT NULL DEFAULT 0, -- its end was told by its worker
  requeued    INTEGER NOT NULL DEFAULT 0, -- its end put the job back into the queue
  log_end     INTEGER NOT NULL DEFAULT 0,
  stdout      INTEGER NOT NULL DEFAULT 0,
  stderr      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
  id            INTEGER PRIMARY KEY,
  job           INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  start         INTEGER NOT NULL,
  stop          INTEGER NOT NULL,
  stdout_before INTEGER NOT NULL,
  stderr_before INTEGER NOT NULL,
  stdout        INTEGER NOT NULL, -- bytes of it in this chunk
  stderr        INTEGER NOT NULL,
  bytes         BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX log_by_start ON log (job, attempt, start);
CREATE INDEX log_by_stdout ON log (job, attempt, stdout_before) WHERE stdout > 0;
CREATE INDEX log_by_stderr ON log (job, attempt, stderr_before) WHERE stderr > 0;

CREATE TABLE artifacts (
  id       INTEGER PRIMARY KEY,
  job      INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  path     TEXT NOT NULL,
  size     INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  UNIQUE (job, attempt, path)
) STRICT;

CREATE TABLE artifact_parts (
  id       INTEGER PRIMARY KEY,
  job      INTEGER NOT NULL,
  artifact INTEGER NOT NULL,
  start    INTEGER NOT NULL,
  bytes    BLOB NOT NULL
) STRICT;
CREATE INDEX artifact_parts_by_job ON artifact_parts (job);
CREATE UNIQUE INDEX artifact_parts_by_start ON artifact_parts (artifact, start);

-- jobs that are gone, and whose bytes still take space
CREATE TABLE garbage (job INTEGER PRIMARY KEY) STRICT;

CREATE TABLE workers (
  worker_id    TEXT PRIMARY KEY,
  boot_id      TEXT NOT NULL,
  hub_id       TEXT NOT NULL,
  session      TEXT UNIQUE, -- null while it has none
  lease_until  INTEGER,
  last_seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE profiles (
  name      TEXT PRIMARY KEY,
  offer     TEXT NOT NULL,
  worker_id TEXT NOT NULL,
  seen_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- where a check writes
CREATE TABLE probe (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
`;

/** of the boot's last hello */
export const schemaV2 = "ALTER TABLE workers ADD COLUMN turn INTEGER NOT NULL DEFAULT 0";

export const schemaV3 = `
-- a tenant's few of one kind among everybody's many; those that are open are few anyway, and change their state too often
CREATE INDEX jobs_ended ON jobs (tenant, state) WHERE finished_at IS NOT NULL;
-- whose turn it is, and which job of his takes it
DROP INDEX jobs_waiting;
CREATE INDEX jobs_turns ON jobs (pool, vft, tenant) WHERE state = 'queued';
CREATE INDEX jobs_urgent ON jobs (pool, tenant, priority DESC) WHERE state = 'queued';
`;

/** the last turn a tenant has */
export const schemaV4 = "CREATE INDEX jobs_last ON jobs (pool, tenant, vft) WHERE state = 'queued'";
