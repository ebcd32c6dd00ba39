/**
 * The tables. What changes with every step of a job (`open_jobs`) stands apart from what is written when it comes and when it ends
 * (`jobs`), so the hot table holds only jobs that are not over and stays small whatever is kept. Times are wall clock `ms`;
 * `lease_until` is on the database's clock. `seq` is never used twice.
 */
export const schemaV1 = `
CREATE TABLE pools (
  pool    text PRIMARY KEY,
  profile text NOT NULL,
  labels  text NOT NULL,
  vtime   float8 NOT NULL DEFAULT 0,
  queued  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE shares (
  pool     text NOT NULL,
  tenant   text NOT NULL,
  last_vft float8 NOT NULL DEFAULT 0,
  PRIMARY KEY (pool, tenant)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE SEQUENCE job_seq;

CREATE TABLE jobs (
  seq              bigint PRIMARY KEY,
  id               text NOT NULL UNIQUE,
  tenant           text NOT NULL,
  profile          text NOT NULL,
  created_at       bigint NOT NULL,
  idempotency_key  text,
  request_digest   text NOT NULL,
  spec             text NOT NULL,
  state            text, -- null while the job is open
  cancel_requested boolean NOT NULL DEFAULT false,
  finished_at      bigint,
  result           text
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX jobs_by_tenant ON jobs (tenant, seq);
CREATE INDEX jobs_by_state ON jobs (state, seq) WHERE state IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_key ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE open_jobs (
  seq              bigint PRIMARY KEY,
  id               text NOT NULL UNIQUE,
  pool             text NOT NULL,
  state            text NOT NULL,
  priority         integer NOT NULL,
  vft              float8 NOT NULL,
  epoch            bigint NOT NULL DEFAULT 0,
  attempts         integer NOT NULL DEFAULT 0,
  max_attempts     integer NOT NULL,
  session          text,
  worker_id        text,
  cancel_requested boolean NOT NULL DEFAULT false,
  created_at       bigint NOT NULL,
  queued_at        bigint NOT NULL,
  queued_ms        bigint NOT NULL DEFAULT 0,
  offered_at       timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX open_jobs_waiting ON open_jobs (pool, priority DESC, vft, seq) WHERE state = 'queued';
CREATE INDEX open_jobs_oldest ON open_jobs (pool, created_at) WHERE state = 'queued';
CREATE INDEX open_jobs_held ON open_jobs (session) WHERE session IS NOT NULL;

CREATE TABLE inputs (
  job   bigint NOT NULL,
  part  integer NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (job, part)
);
ALTER TABLE inputs ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE attempts (
  job         bigint NOT NULL,
  attempt     integer NOT NULL,
  epoch       bigint NOT NULL,
  worker_id   text NOT NULL,
  leased_at   bigint NOT NULL,
  started_at  bigint,
  finished_at bigint,
  reason      text,
  reported    boolean NOT NULL DEFAULT false, -- its end was told by its worker
  requeued    boolean NOT NULL DEFAULT false, -- its end put the job back into the queue
  log_end     bigint NOT NULL DEFAULT 0,
  stdout      bigint NOT NULL DEFAULT 0,
  stderr      bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (job, attempt)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE log (
  job           bigint NOT NULL,
  attempt       integer NOT NULL,
  start         bigint NOT NULL,
  stop          bigint NOT NULL,
  stdout_before bigint NOT NULL,
  stderr_before bigint NOT NULL,
  stdout        bigint NOT NULL, -- bytes of it in this chunk
  stderr        bigint NOT NULL,
  bytes         bytea NOT NULL,
  PRIMARY KEY (job, attempt, start)
);
ALTER TABLE log ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX log_by_stdout ON log (job, attempt, stdout_before) WHERE stdout > 0;
CREATE INDEX log_by_stderr ON log (job, attempt, stderr_before) WHERE stderr > 0;

CREATE TABLE artifacts (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job      bigint NOT NULL,
  attempt  integer NOT NULL,
  path     text NOT NULL,
  size     bigint NOT NULL DEFAULT 0,
  complete boolean NOT NULL DEFAULT false,
  UNIQUE (job, attempt, path)
);

CREATE TABLE artifact_parts (
  artifact bigint NOT NULL,
  start    bigint NOT NULL,
  job      bigint NOT NULL,
  bytes    bytea NOT NULL,
  PRIMARY KEY (artifact, start)
);
ALTER TABLE artifact_parts ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX artifact_parts_by_job ON artifact_parts (job);

-- jobs that are gone, and whose bytes still take space
CREATE TABLE garbage (job bigint PRIMARY KEY);

-- one row per worker, so that a renewal writes one row however many jobs it holds; no index on what every renewal changes
CREATE TABLE workers (
  worker_id    text PRIMARY KEY,
  boot_id      text NOT NULL,
  hub_id       text NOT NULL,
  session      text UNIQUE, -- null while it has none
  lease_until  bigint,
  last_seen_at bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE profiles (
  name      text PRIMARY KEY,
  offer     text NOT NULL,
  worker_id text NOT NULL,
  seen_at   bigint NOT NULL
);

-- where a check writes
CREATE TABLE probe (bytes bytea NOT NULL);
`;

/** of the boot's last hello */
export const schemaV2 = "ALTER TABLE workers ADD COLUMN turn bigint NOT NULL DEFAULT 0";

/** hub processes that live, and what their neighbours have to show them */
export const schemaV3 = `
CREATE TABLE hubs (
  hub_id     text PRIMARY KEY,
  url        text NOT NULL,
  secret     text NOT NULL,
  live_until timestamptz NOT NULL
)`;

/** what each writer committed last, by a number of its own */
export const schemaV4 = `
CREATE TABLE marks (
  writer text PRIMARY KEY,
  mark   bigint NOT NULL,
  at     timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)`;

export const schemaV5 = `
-- a tenant's few of one kind among everybody's many
CREATE INDEX jobs_ended ON jobs (tenant, state, seq) WHERE state IS NOT NULL;

-- whose turn it is, and which job of his takes it
ALTER TABLE open_jobs ADD COLUMN tenant text COLLATE "C"; -- null where a hub of schema 4 put it in
UPDATE open_jobs AS o SET tenant = j.tenant FROM jobs AS j WHERE j.seq = o.seq;
CREATE INDEX open_jobs_turns ON open_jobs (pool, vft, tenant, seq) WHERE state = 'queued';
CREATE INDEX open_jobs_urgent ON open_jobs (pool, tenant, priority DESC, seq) WHERE state = 'queued';
`;

/** the last turn a tenant has; as an expression it is in no other index's order */
export const schemaV6 =
  "CREATE INDEX open_jobs_last ON open_jobs (pool, tenant, (- vft)) WHERE state = 'queued'";

/** what is told of a job without its spec, which may be large; null where a hub of an earlier schema put it in */
export const schemaV7 = "ALTER TABLE jobs ADD COLUMN priority integer, ADD COLUMN labels text";
