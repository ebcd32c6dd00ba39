import { terminalStates, type JobState } from "../../../protocol/index.ts";
import { pageBytes } from "../../submission.ts";
import type { Db } from "../database.ts";
import { readJob, readJobs, type RawJob } from "../raw-job.ts";

export function get(db: Db, { id }: { id: string }): RawJob | null {
  return readJob(db, id) ?? null;
}

/** null: there is no such job. */
export function spec(db: Db, { id }: { id: string }): string | null {
  const found = db.get<{ spec: string }>(
    "SELECT spec FROM specs WHERE job = (SELECT seq FROM jobs WHERE id = ?)",
    id,
  );
  return found?.spec ?? null;
}

export interface ListArgs {
  tenant: string | null;
  states: readonly JobState[] | null;
  profile: string | null;
  /** only jobs submitted before this one */
  before: number | null;
  limit: number;
}

export interface Listed {
  shown: (RawJob & { seq: number })[];
  /** there are others behind them */
  more: boolean;
}

/** Newest first. */
export function list(db: Db, args: ListArgs): Listed {
  const found = find(db, args);
  const seqs: number[] = [];
  let bytes = 0;
  for (const job of found.slice(0, args.limit)) {
    if (bytes > pageBytes) break;
    seqs.push(job.seq);
    bytes += job.bytes;
  }
  const these = "WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq DESC";
  return { shown: readJobs(db, these, [JSON.stringify(seqs)]), more: found.length > seqs.length };
}

interface Found {
  seq: number;
  /** of its result */
  bytes: number;
}

/** One more than asked for where there is one. */
function find(db: Db, args: ListArgs): Found[] {
  if (args.states === null) return findIn(db, args, null);
  const states = args.states.flatMap((state) => (state === "queued" ? ["queued", "offered"] : [state]));
  return [...new Set(states)].flatMap((state) => findIn(db, args, state)).sort((a, b) => b.seq - a.seq);
}

const ended: ReadonlySet<string | null> = new Set(terminalStates);

/** One state at a time comes out of an index in order, however many jobs there are. */
function findIn(db: Db, args: ListArgs, state: string | null): Found[] {
  const conditions: [string, string | number | null][] = [
    ["tenant = ?", args.tenant],
    ["state = ?", state],
    ["profile = ?", args.profile],
    ["seq < ?", args.before],
  ];
  const used = conditions.filter((entry): entry is [string, string | number] => entry[1] !== null);
  const texts = used.map(([text]) => text);
  // the index of a tenant's jobs by state holds only these
  if (ended.has(state)) texts.push("finished_at IS NOT NULL");
  const where = texts.length === 0 ? "" : `WHERE ${texts.join(" AND ")}`;
  const params = [...used.map(([, value]) => value), args.limit + 1];
  const bytes = "coalesce(octet_length(result), 0) AS bytes";
  return db.all<Found>(`SELECT seq, ${bytes} FROM jobs ${where} ORDER BY seq DESC LIMIT ?`, ...params);
}

/** null: there is no such part of it. */
export function inputs(
  db: Db,
  { id, n }: { id: string; n: number },
  transfer: ArrayBuffer[],
): Uint8Array | null {
  const part = db.get<{ bytes: Uint8Array<ArrayBuffer> }>(
    "SELECT bytes FROM inputs WHERE job = (SELECT seq FROM jobs WHERE id = ?) ORDER BY id LIMIT 1 OFFSET ?",
    id,
    n,
  );
  return part === undefined ? null : join([part.bytes], transfer);
}

/** One buffer that goes to the caller. */
export function join(parts: readonly Uint8Array<ArrayBuffer>[], transfer: ArrayBuffer[]): Uint8Array {
  const [only] = parts;
  const whole = new Uint8Array(
    parts.length === 1 && only !== undefined
      ? only.buffer
      : new ArrayBuffer(parts.reduce((sum, part) => sum + part.length, 0)),
  );
  let at = 0;
  for (const part of parts.length === 1 ? [] : parts) {
    whole.set(part, at);
    at += part.length;
  }
  transfer.push(whole.buffer);
  return whole;
}
