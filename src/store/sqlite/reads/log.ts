import type { LogChunk } from "../../contract.ts";
import type { Db } from "../database.ts";

interface ChunkRow {
  attempt: number;
  from: number;
  to: number;
  stdoutBefore: number;
  stderrBefore: number;
  bytes: Uint8Array<ArrayBuffer>;
}

const columns = `attempt, start AS "from", stop AS "to", stdout_before AS stdoutBefore, stderr_before AS stderrBefore, bytes`;
const ofAttempt = "job = (SELECT seq FROM jobs WHERE id = ?1) AND attempt = ?2";

export interface ReadArgs {
  jobId: string;
  attempt: number;
  from: number;
  maxBytes: number;
}

export function readLog(db: Db, args: ReadArgs, transfer: ArrayBuffer[]): LogChunk[] {
  const rows = db.iterate<ChunkRow>(
    `SELECT ${columns} FROM log WHERE ${ofAttempt} AND start >= ifnull(
       (SELECT max(start) FROM log WHERE ${ofAttempt} AND start <= ?3), 0) ORDER BY start`,
    args.jobId,
    args.attempt,
    args.from,
  );
  const chunks: LogChunk[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (row.to <= args.from) continue;
    transfer.push(row.bytes.buffer);
    chunks.push({ ...row });
    bytes += row.bytes.length;
    if (bytes >= args.maxBytes) break;
  }
  return chunks;
}

export interface LocateArgs {
  jobId: string;
  attempt: number;
  stream: "stdout" | "stderr";
  offset: number;
}

export function locate(db: Db, args: LocateArgs, transfer: ArrayBuffer[]): LogChunk | null {
  const { stream } = args;
  const row = db.get<ChunkRow & { held: number }>(
    `SELECT ${columns}, ${stream} AS held FROM log
      WHERE ${ofAttempt} AND ${stream} > 0 AND ${stream}_before <= ?3 ORDER BY ${stream}_before DESC LIMIT 1`,
    args.jobId,
    args.attempt,
    args.offset,
  );
  if (row === undefined) return null;
  const { held, ...chunk } = row;
  const before = stream === "stdout" ? chunk.stdoutBefore : chunk.stderrBefore;
  if (args.offset >= before + held) return null;
  transfer.push(chunk.bytes.buffer);
  return chunk;
}

export interface LogEnd {
  logEnd: number;
  stdout: number;
  stderr: number;
}

export function logEnd(db: Db, args: { jobId: string; attempt: number }): LogEnd {
  const end = db.get<LogEnd>(
    `SELECT log_end AS logEnd, stdout, stderr FROM attempts WHERE ${ofAttempt}`,
    args.jobId,
    args.attempt,
  );
  return end === undefined ? { logEnd: 0, stdout: 0, stderr: 0 } : { ...end };
}
