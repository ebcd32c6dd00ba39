import { setImmediate } from "node:timers/promises";
import { abortable } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import {
  decodeRecordHeader,
  RecordReader,
  recordHeaderBytes,
  type PlacedRecord,
} from "../../protocol/index.ts";
import type { JobRecord, LogChunk, LogStore } from "../../store/index.ts";
import type { LiveJob } from "./live-job.ts";

/** bytes of log read at once, at most as many in one step of a reader */
export const readBytes = 256 * 2 ** 10;
/** Records of one step: a small one costs a hundred times its bytes until it is sent */
const stepRecords = 256;

export interface LogPosition {
  attempt: number;
  position: number;
}

/**
 * One reader's place in one attempt's log. It pulls: nothing is kept for a reader that does not ask. The end of the log comes
 * from memory while it is written, everything before from the store.
 */
export class LogCursor {
  readonly #job: LiveJob;
  readonly #log: LogStore;
  readonly #attempt: number;
  #position: number;
  /** what was read and not taken yet */
  #ahead: Iterator<PlacedRecord> = [].values();

  constructor(deps: { job: LiveJob; log: LogStore }, start: LogPosition) {
    this.#job = deps.job;
    this.#log = deps.log;
    this.#attempt = start.attempt;
    this.#position = start.position;
  }

  get position(): number {
    return this.#position;
  }

  /**
   * The next records, at least one; null once the attempt is over and all of its log was read. Rejects with the signal's reason, and
   * with `job_unknown` when the rest of the log is gone.
   */
  async next(signal: AbortSignal): Promise<PlacedRecord[] | null> {
    for (;;) {
      signal.throwIfAborted();
      const left = this.#take();
      if (left !== undefined) {
        await setImmediate();
        return left;
      }
      const changed = this.#job.changed.wait();
      const record = await this.#job.record();
      this.#ahead = recordsBehind(await this.#chunks(), this.#position);
      const records = this.#take();
      if (records !== undefined) return records;
      if (isOver(record, this.#attempt)) {
        this.#checkWhole(record);
        return null;
      }
      await abortable(changed, signal);
    }
  }

  /** One step's records of what was read; undefined when none is left. */
  #take(): PlacedRecord[] | undefined {
    const records: PlacedRecord[] = [];
    for (let bytes = 0; records.length < stepRecords && bytes < readBytes;) {
      const { value: record } = this.#ahead.next() as IteratorResult<PlacedRecord, undefined>;
      if (record === undefined) break;
      records.push(record);
      this.#position = record.to;
      bytes += record.bytes.length;
    }
    return records.length > 0 ? records : undefined;
  }

  /** A job that was kept for its time is removed whoever reads it; nobody may take that for the end. */
  #checkWhole(record: JobRecord | null): void {
    const attempt = record?.attempts.find((entry) => entry.attempt === this.#attempt);
    if (record === null || this.#position < (attempt?.logEnd ?? 0)) throw logGone(this.#job.id);
  }

  async #chunks(): Promise<LogChunk[]> {
    const { tail } = this.#job;
    if (tail?.attempt === this.#attempt) {
      if (tail.place.position <= this.#position) return [];
      if (tail.from <= this.#position) return tail.read(this.#position, readBytes);
    }
    return await this.#log.read(this.#job.id, this.#attempt, this.#position, readBytes);
  }
}

/** What whoever reads a log is told once it was removed. */
export function logGone(jobId: string): SallyportError {
  return new SallyportError("job_unknown", `job ${jobId} was removed while its log was read`, {
    details: { job: jobId },
  });
}

/** True when nothing can be added to the attempt's log any more. */
export function isOver(job: JobRecord | null, attempt: number): boolean {
  if (job === null || job.result !== null) return true;
  const ended = job.attempts.find((entry) => entry.attempt === attempt)?.finishedAt ?? null;
  return ended !== null || job.attempts.some((entry) => entry.attempt > attempt);
}

function* recordsBehind(chunks: readonly LogChunk[], position: number): Generator<PlacedRecord, undefined> {
  for (const chunk of chunks) {
    for (const record of recordsOf(chunk)) if (record.to > position) yield record;
  }
}

/** Made as they are taken. */
function* recordsOf({ from, bytes, stdoutBefore, stderrBefore }: LogChunk): Generator<PlacedRecord> {
  const reader = new RecordReader({ position: from, stdoutBytes: stdoutBefore, stderrBytes: stderrBefore });
  let at = 0;
  while (at < bytes.length) {
    const end = at + recordHeaderBytes + decodeRecordHeader(bytes, at).length;
    yield* reader.push(bytes.subarray(at, end));
    at = end;
  }
}
