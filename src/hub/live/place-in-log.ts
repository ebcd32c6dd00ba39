import { SallyportError } from "../../errors.ts";
import { RecordReader, type LogPlace } from "../../protocol/index.ts";
import type { EventSource } from "./job-events.ts";
import type { LogPosition } from "./log-cursor.ts";

/** What each stream held before `position`, where a log goes on. Throws `protocol_violation` for a gap, or inside a record. */
export async function placeInLog(source: EventSource, at: LogPosition): Promise<LogPlace> {
  const { attempt, position } = at;
  if (position === 0) return { position: 0, stdoutBytes: 0, stderrBytes: 0 };
  const { tail } = source.job;
  if (tail?.attempt === attempt && tail.place.position === position) return tail.place;
  const end = await source.log.end(source.job.id, attempt);
  if (position === end.logEnd) return { position, stdoutBytes: end.stdout, stderrBytes: end.stderr };
  const [chunk] = position > end.logEnd ? [] : await source.log.read(source.job.id, attempt, position, 1);
  if (chunk === undefined) {
    throw new SallyportError(
      "protocol_violation",
      `output: position ${position} leaves a gap behind ${end.logEnd}`,
      { details: { expected: end.logEnd } },
    );
  }
  const reader = new RecordReader({
    position: chunk.from,
    stdoutBytes: chunk.stdoutBefore,
    stderrBytes: chunk.stderrBefore,
  });
  reader.push(chunk.bytes.subarray(0, position - chunk.from));
  reader.end();
  return reader.place;
}
