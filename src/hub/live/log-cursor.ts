import { abortable } from "../../async/index.ts";
import { RecordReader, type PlacedRecord } from "../../protocol/index.ts";
import type { JobRecord, LogChunk, LogStore } from "../../store/index.ts";
import type { LiveJob } from "./live-job.ts";

/** bytes of log one step of a reader takes */
const stepBytes = 256 * 2 ** 10;

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

  constructor(deps: { job: LiveJob; log: LogStore }, start: LogPosition) {
    this.#job = deps.job;
    this.#log = deps.log;
    this.#attempt = start.attempt;
    this.#position = start.position;
  }

  get position(): number {
    return this.#position;
  }

  /** The next records, at least one; null once the attempt is over and all of its log was read. Rejects with the signal's reason. */
  async next(signal: AbortSignal): Promise<PlacedRecord[] | null> {
    for (;;) {
      signal.throwIfAborted();
      const changed = this.#job.changed.wait();
      const overBefore = isOver(await this.#job.record(), this.#attempt);
      const chunks = await this.#chunks();
      const records = chunks.flatMap((chunk) => recordsBehind(chunk, this.#position));
      const last = records.at(-1);
      if (last !== undefined) {
        this.#position = last.to;
        return records;
      }
      if (overBefore) return null;
      await abortable(changed, signal);
    }
  }

  async #chunks(): Promise<LogChunk[]> {
    const { tail } = this.#job;
    if (tail?.attempt === this.#attempt) {
      if (tail.place.position <= this.#position) return [];
      if (tail.from <= this.#position) return tail.read(this.#position, stepBytes);
    }
    return await this.#log.read(this.#job.id, this.#attempt, this.#position, stepBytes);
  }
}

/** True when nothing can be added to the attempt's log any more. */
export function isOver(job: JobRecord | null, attempt: number): boolean {
  if (job === null || job.result !== null) return true;
  const ended = job.attempts.find((entry) => entry.attempt === attempt)?.finishedAt ?? null;
  return ended !== null || job.attempts.some((entry) => entry.attempt > attempt);
}

function recordsBehind(chunk: LogChunk, position: number): PlacedRecord[] {
  const reader = new RecordReader({
    position: chunk.from,
    stdoutBytes: chunk.stdoutBefore,
    stderrBytes: chunk.stderrBefore,
  });
  const records = reader.push(chunk.bytes);
  return chunk.from >= position ? records : records.filter((record) => record.to > position);
}
