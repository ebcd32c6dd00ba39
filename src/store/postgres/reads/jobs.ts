import type { JobResult, JobSpec, JobState } from "../../../protocol/index.ts";
import type { AttemptRecord, JobFilter, JobPage, JobRecord } from "../../contract.ts";
import { cursorOf, pageBytes, pageLimit, toPage } from "../../submission.ts";
import type { Connection } from "../connection.ts";
import { gistColumns, gistOf } from "../gist.ts";
import type { GistRow } from "../row-types.ts";
import { statement, type Value } from "../statement.ts";

interface Row extends GistRow {
  seq: number;
  id: string;
  tenant: string;
  state: string;
  createdAt: number;
  cancelRequested: boolean;
  result: string | null;
  attempts: AttemptRecord[];
}

/** One statement, so one moment: a job is never told without its attempts, or in two states. */
const columns = `j.seq, j.id, j.tenant, coalesce(j.state, o.state) AS state, ${gistColumns("j")}, j.created_at AS "createdAt",
  coalesce(o.cancel_requested, j.cancel_requested) AS "cancelRequested", j.result,
  (SELECT coalesce(json_agg(json_build_object(
            'attempt', attempt, 'epoch', epoch, 'workerId', worker_id, 'leasedAt', leased_at, 'startedAt', started_at,
            'finishedAt', finished_at, 'reason', reason, 'logEnd', log_end) ORDER BY attempt), '[]')
     FROM attempts WHERE attempts.job = j.seq) AS attempts`;

const readJob = statement(
  "read_job",
  `SELECT ${columns} FROM jobs AS j LEFT JOIN open_jobs AS o ON o.seq = j.seq WHERE j.id = $1`,
);

export async function get(connection: Connection, id: string): Promise<JobRecord | null> {
  const [row] = await connection.run<Row>(readJob, [id]);
  return row === undefined ? null : toRecord(row);
}

/** Newest first. One state at a time comes out of an index in order, however many jobs there are. */
export async function list(connection: Connection, filter: JobFilter): Promise<JobPage> {
  const { states } = filter;
  const values: Value[] = [];
  const bind = (value: Value): string => `$${values.push(value)}`;
  const limit = bind(pageLimit(filter.limit) + 1);
  const conditions = conditionsOf(filter).map(([text, value]) => `${text} ${bind(value)}`);
  const pages = (states === undefined ? [null] : stored(states)).map((state) =>
    pageOf(state, { conditions, limit, bind }),
  );
  if (pages.length === 0) return { jobs: [], next: null };
  const rows = await connection.ask<Row & { found: number }>(
    `SELECT ${columns}, shown.found
       FROM (SELECT seq, count(*) OVER () AS found, sum(bytes) OVER (ORDER BY seq DESC) - bytes AS before
               FROM (SELECT seq, coalesce(octet_length(result), 0) AS bytes
                       FROM (${pages.join(" UNION ALL ")}) AS found JOIN jobs USING (seq)
                      ORDER BY seq DESC LIMIT ${limit}) AS sized) AS shown
       JOIN jobs AS j ON j.seq = shown.seq LEFT JOIN open_jobs AS o ON o.seq = j.seq
      WHERE before <= ${bind(pageBytes)}
      ORDER BY j.seq DESC LIMIT ${bind(pageLimit(filter.limit))}`,
    values,
  );
  return toPage({ shown: rows, more: (rows[0]?.found ?? 0) > rows.length }, toRecord);
}

function conditionsOf(filter: JobFilter): [string, Value][] {
  const all: [string, Value | undefined][] = [
    ["j.tenant =", filter.tenant],
    ["j.profile =", filter.profile],
    ["j.seq <", cursorOf(filter)],
  ];
  return all.flatMap(([text, value]): [string, Value][] =>
    value === undefined || value === null ? [] : [[text, value]],
  );
}

const openStates: ReadonlySet<string> = new Set(["queued", "offered", "leased", "running"]);

function stored(states: readonly JobState[]): string[] {
  return [...new Set(states.flatMap((state) => (state === "queued" ? ["queued", "offered"] : [state])))];
}

interface PageParts {
  conditions: readonly string[];
  limit: string;
  bind: (value: Value) => string;
}

function pageOf(state: string | null, { conditions, limit, bind }: PageParts): string {
  const open = state !== null && openStates.has(state);
  const from = open ? "open_jobs AS o JOIN jobs AS j ON j.seq = o.seq" : "jobs AS j";
  const all = state === null ? conditions : [...conditions, `${open ? "o" : "j"}.state = ${bind(state)}`];
  const where = all.length === 0 ? "" : `WHERE ${all.join(" AND ")}`;
  return `(SELECT j.seq FROM ${from} ${where} ORDER BY j.seq DESC LIMIT ${limit})`;
}

const readSpec = statement("read_spec", "SELECT spec FROM jobs WHERE id = $1");

/** null: there is no such job. */
export async function spec(connection: Connection, id: string): Promise<JobSpec | null> {
  const [row] = await connection.run<{ spec: string }>(readSpec, [id]);
  return row === undefined ? null : (JSON.parse(row.spec) as JobSpec);
}

const readInputs = statement(
  "read_inputs",
  "SELECT bytes FROM inputs WHERE job = (SELECT seq FROM jobs WHERE id = $1) AND part = $2",
);

/** null: there is no such part of it. */
export async function inputs(connection: Connection, id: string, n: number): Promise<Uint8Array | null> {
  const [part] = await connection.run<{ bytes: Buffer }>(readInputs, [id, n]);
  return part?.bytes ?? null;
}

function toRecord(row: Row): JobRecord {
  return {
    id: row.id,
    tenant: row.tenant,
    state: row.state === "offered" ? "queued" : (row.state as JobState),
    ...gistOf(row),
    createdAt: row.createdAt,
    attempts: row.attempts,
    cancelRequested: row.cancelRequested,
    result: row.result === null ? null : (JSON.parse(row.result) as JobResult),
  };
}
