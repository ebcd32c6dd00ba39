/** Everything that happened to a job, in order, as events a client can resume behind any of. */
import { isUtf8 } from "node:buffer";
import { abortable } from "../../async/index.ts";
import { readEvent, readGap, type PlacedRecord } from "../../protocol/index.ts";
import type { AttemptRecord, JobRecord, LogStore } from "../../store/index.ts";
import { formatEventId, type EventPlace } from "./event-id.ts";
import type { LiveJob } from "./live-job.ts";
import { LogCursor } from "./log-cursor.ts";

export interface JobEvent {
  /** position behind this event */
  id: string;
  event: "queued" | "leased" | "started" | "stdout" | "stderr" | "call" | "gap" | "finished";
  data: Record<string, unknown>;
}

export interface EventSource {
  job: LiveJob;
  log: LogStore;
}

/**
 * Events behind `after` (all of them when it is undefined), in batches as they come, until `finished`. Pulls, so a slow consumer
 * costs nothing. Rejects with the signal's reason.
 */
export async function* jobEvents(
  source: EventSource,
  after: EventPlace | undefined,
  signal: AbortSignal,
): AsyncGenerator<JobEvent[]> {
  const first = await source.job.record();
  if (first === null || after?.ended === true) return;
  if (after === undefined) yield [queued(first)];
  let place: EventPlace = after ?? { attempt: 0, position: 0, ended: false };
  if (place.attempt > 0) place = yield* logEvents(source, place, signal);
  for (;;) {
    const attempt = await attemptBehind(source, place.attempt, signal);
    if (attempt === undefined) break;
    place = { attempt: attempt.attempt, position: 0, ended: false };
    yield [leased(attempt)];
    place = yield* logEvents(source, place, signal);
  }
  const last = await source.job.record();
  if (last?.result) {
    yield [
      { id: formatEventId({ ...place, ended: true }), event: "finished", data: { result: last.result } },
    ];
  }
}

/** The attempt that follows number `attempt`, as soon as there is one; undefined when the job ended without. */
async function attemptBehind(
  source: EventSource,
  attempt: number,
  signal: AbortSignal,
): Promise<AttemptRecord | undefined> {
  for (;;) {
    const changed = source.job.changed.wait();
    const record = await source.job.record();
    const next = record?.attempts.find((entry) => entry.attempt > attempt);
    if (next !== undefined || record === null || record.result !== null) return next;
    await abortable(changed, signal);
  }
}

async function* logEvents(
  source: EventSource,
  from: EventPlace,
  signal: AbortSignal,
): AsyncGenerator<JobEvent[], EventPlace> {
  const cursor = new LogCursor(source, from);
  for (;;) {
    const records = await cursor.next(signal);
    if (records === null) return { attempt: from.attempt, position: cursor.position, ended: false };
    const events = records.flatMap((record) => eventOf(from.attempt, record) ?? []);
    if (events.length > 0) yield events;
  }
}

function queued(job: JobRecord): JobEvent {
  const id = formatEventId({ attempt: 0, position: 0, ended: false });
  return { id, event: "queued", data: { job: job.id, at: isoTime(job.createdAt) } };
}

function leased({ attempt, workerId, leasedAt }: AttemptRecord): JobEvent {
  const id = formatEventId({ attempt, position: 0, ended: false });
  return { id, event: "leased", data: { attempt, worker: workerId, at: isoTime(leasedAt) } };
}

/** Undefined for events of a kind this version does not know. */
function eventOf(attempt: number, record: PlacedRecord): JobEvent | undefined {
  const id = formatEventId({ attempt, position: record.to, ended: false });
  const at = isoTime(record.at);
  switch (record.kind) {
    case "stdout":
    case "stderr":
      return { id, event: record.kind, data: { at, offset: record.offset, ...contentOf(record.bytes) } };
    case "gap":
      return { id, event: "gap", data: { at, ...readGap(record) } };
    case "event": {
      const { event, ...rest } = readEvent(record);
      if (event === "started") return { id, event, data: { attempt, at } };
      return event === "call" ? { id, event, data: { ...rest, attempt, at } } : undefined;
    }
  }
}

/** `text` where the bytes are UTF-8 to the letter, `base64` where they are not, or hold a NUL: JSON makes six bytes of each. */
function contentOf(bytes: Uint8Array): { text: string } | { base64: string } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (isUtf8(buffer) && !buffer.includes(0)) return { text: buffer.toString("utf8") };
  return { base64: buffer.toString("base64") };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
