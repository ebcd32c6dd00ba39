import type { JobResult, JobState } from "../../protocol/index.ts";
import type { AttemptRecord, JobRecord } from "../contract.ts";
import { labelsOf } from "../rules.ts";
import type { Db } from "./database.ts";

/** A job as its rows hold it. JSON travels between threads as text, which is cheaper than as objects. */
export interface RawJob {
  id: string;
  tenant: string;
  state: string;
  profile: string;
  priority: number;
  pool: string;
  createdAt: number;
  attempts: AttemptRecord[];
  cancelRequested: number;
  result: string | null;
}

interface Row extends Omit<RawJob, "attempts"> {
  seq: number;
  attemptCount: number;
}

const select = `SELECT seq, id, tenant, state, profile, priority, pool, created_at AS createdAt, attempts AS attemptCount,
                       cancel_requested AS cancelRequested, result
                  FROM jobs`;

export function readJob(db: Db, id: string): RawJob | undefined {
  const row = db.get<Row>(`${select} WHERE id = ?`, id);
  return row === undefined ? undefined : withAttempts(db, row);
}

/** `rest`: the statement's text behind the table, from `WHERE` on. */
export function readJobs(
  db: Db,
  rest: string,
  params: readonly (string | number)[],
): (RawJob & { seq: number })[] {
  return db
    .all<Row>(`${select} ${rest}`, ...params)
    .map((row) => ({ ...withAttempts(db, row), seq: row.seq }));
}

function withAttempts(db: Db, { seq, attemptCount, ...job }: Row): RawJob {
  if (attemptCount === 0) return { ...job, attempts: [] };
  const attempts = db.all<AttemptRecord>(
    `SELECT attempt, epoch, worker_id AS workerId, leased_at AS leasedAt, started_at AS startedAt,
            finished_at AS finishedAt, reason, log_end AS logEnd
       FROM attempts WHERE job = ? ORDER BY attempt`,
    seq,
  );
  return { ...job, attempts };
}

export function toRecord(raw: RawJob): JobRecord {
  return {
    id: raw.id,
    tenant: raw.tenant,
    state: raw.state === "offered" ? "queued" : (raw.state as JobState),
    profile: raw.profile,
    priority: raw.priority,
    labels: labelsOf(raw.pool, raw.profile),
    createdAt: raw.createdAt,
    attempts: raw.attempts.map((attempt) => ({ ...attempt })),
    cancelRequested: raw.cancelRequested !== 0,
    result: raw.result === null ? null : (JSON.parse(raw.result) as JobResult),
  };
}
