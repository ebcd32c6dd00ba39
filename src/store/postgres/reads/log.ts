import type { LogChunk, LogStore } from "../../contract.ts";
import type { Connection } from "../connection.ts";
import { statement } from "../statement.ts";

const columns = `attempt, start AS "from", stop AS "to", stdout_before AS "stdoutBefore", stderr_before AS "stderrBefore", bytes`;
const ofAttempt = "job = (SELECT seq FROM jobs WHERE id = $1) AND attempt = $2";

/** most chunks of one read; many small ones fill a page by their number, few large ones by their bytes */
const maxChunks = 512;

/** The sum over what stands before a chunk decides whether it is still wanted, so the first one always is. */
const readChunks = statement(
  "read_log",
  `SELECT ${columns} FROM (
     SELECT ${columns.replaceAll(/ AS "\w+"/g, "")}, $4::bigint > sum(stop - start) OVER (ORDER BY start) - (stop - start) AS wanted
       FROM (SELECT * FROM log
              WHERE ${ofAttempt} AND stop > $3 AND start >= coalesce(
                (SELECT max(start) FROM log WHERE ${ofAttempt} AND start <= $3), 0)
              ORDER BY start LIMIT ${maxChunks}) AS ahead) AS chunks
    WHERE wanted ORDER BY start`,
);

export interface ReadRange {
  jobId: string;
  attempt: number;
  from: number;
  maxBytes: number;
}

export async function readLog(connection: Connection, range: ReadRange): Promise<LogChunk[]> {
  const { jobId, attempt, from, maxBytes } = range;
  return await connection.run<LogChunk>(readChunks, [jobId, attempt, from, maxBytes]);
}

const locateIn = {
  stdout: locateStatement("stdout"),
  stderr: locateStatement("stderr"),
};

function locateStatement(stream: "stdout" | "stderr"): ReturnType<typeof statement> {
  return statement(
    `locate_${stream}`,
    `SELECT ${columns}, ${stream} AS held FROM log
      WHERE ${ofAttempt} AND ${stream} > 0 AND ${stream}_before <= $3 ORDER BY ${stream}_before DESC LIMIT 1`,
  );
}

export interface Place {
  jobId: string;
  attempt: number;
  stream: "stdout" | "stderr";
  offset: number;
}

export async function locate(connection: Connection, place: Place): Promise<LogChunk | null> {
  const { jobId, attempt, stream, offset } = place;
  const [row] = await connection.run<LogChunk & { held: number }>(locateIn[stream], [jobId, attempt, offset]);
  if (row === undefined) return null;
  const { held, ...chunk } = row;
  const before = stream === "stdout" ? chunk.stdoutBefore : chunk.stderrBefore;
  return offset < before + held ? chunk : null;
}

type LogEnd = Awaited<ReturnType<LogStore["end"]>>;

const readEnd = statement(
  "read_log_end",
  `SELECT log_end AS "logEnd", stdout, stderr FROM attempts WHERE ${ofAttempt}`,
);

export async function logEnd(connection: Connection, jobId: string, attempt: number): Promise<LogEnd> {
  const [end] = await connection.run<LogEnd>(readEnd, [jobId, attempt]);
  return end ?? { logEnd: 0, stdout: 0, stderr: 0 };
}
