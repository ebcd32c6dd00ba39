/** What a job printed on one of its streams, byte for byte. */
import { RecordReader, type PlacedRecord } from "../../protocol/index.ts";
import type { JobRecord, LogChunk } from "../../store/index.ts";
import { attemptFrom, type EventSource } from "./job-events.ts";
import { LogCursor, logGone, readBytes } from "./log-cursor.ts";

export type StreamName = "stdout" | "stderr";

/** Half-open range of one stream of one attempt. */
export interface StreamRange {
  attempt: number;
  stream: StreamName;
  from: number;
  to: number;
}

/** The range as it is stored. Throws `job_unknown` when the log ends before it does: the job was removed meanwhile. */
export async function* storedBytes(source: EventSource, range: StreamRange): AsyncGenerator<Uint8Array> {
  const { attempt, stream, from, to } = range;
  if (from >= to) return;
  let left = to - from;
  const first = await source.log.locate(source.job.id, attempt, stream, from);
  let chunks = first === null ? [] : [first];
  for (let last = chunks.at(-1); last !== undefined; last = chunks.at(-1)) {
    for (const piece of piecesOf(chunks.flatMap(recordsOf), range)) {
      yield piece;
      left -= piece.length;
    }
    if (left <= 0) return;
    chunks = await source.log.read(source.job.id, attempt, last.to, readBytes);
  }
  throw logGone(source.job.id);
}

export interface FollowOptions {
  stream: StreamName;
  /** first byte wanted */
  from: number;
  /** one attempt only; without it the latest, and those that follow */
  attempt: number | undefined;
}

/** The stream from `from` on, as it grows, until the job (or the attempt asked for) is over. */
export async function* followedBytes(
  source: EventSource,
  options: FollowOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array[]> {
  let { from } = options;
  let found = await attemptFrom(source, options.attempt ?? latest(await source.job.record()), signal);
  while (found !== undefined) {
    const { attempt } = found;
    const range = { attempt, stream: options.stream, from, to: Number.MAX_SAFE_INTEGER };
    const cursor = new LogCursor(source, { attempt, position: await positionOf(source, range) });
    for (let records = await cursor.next(signal); records !== null; records = await cursor.next(signal)) {
      const pieces = piecesOf(records, range);
      if (pieces.length > 0) yield pieces;
    }
    if (options.attempt !== undefined) return;
    from = 0;
    found = await attemptFrom(source, attempt + 1, signal);
  }
}

function latest(job: JobRecord | null): number {
  return job?.attempts.at(-1)?.attempt ?? 1;
}

/** Where in the log to begin; the log's start when that byte is not stored yet. */
async function positionOf(source: EventSource, range: StreamRange): Promise<number> {
  if (range.from === 0) return 0;
  const chunk = await source.log.locate(source.job.id, range.attempt, range.stream, range.from);
  return chunk?.from ?? 0;
}

function recordsOf(chunk: LogChunk): PlacedRecord[] {
  const start = {
    position: chunk.from,
    stdoutBytes: chunk.stdoutBefore,
    stderrBytes: chunk.stderrBefore,
  };
  return new RecordReader(start).push(chunk.bytes);
}

/** bytes on average from which pieces are sent as they are: to copy them costs more than to write each */
const largePiece = 4 * 2 ** 10;

/** What of the records lies in the range; small pieces as one, so that a stream printed byte by byte is not sent byte by byte. */
function piecesOf(records: readonly PlacedRecord[], { stream, from, to }: StreamRange): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let total = 0;
  for (const { kind, offset, bytes } of records) {
    if (kind !== stream || offset === null) continue;
    const piece = bytes.subarray(Math.max(0, from - offset), Math.max(0, to - offset));
    if (piece.length > 0) pieces.push(piece);
    total += piece.length;
  }
  return pieces.length <= 1 || total >= pieces.length * largePiece ? pieces : [Buffer.concat(pieces)];
}
