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
  let place: EventPlace = after ?? { attempt: 0, epoch: 0, position: 0, ended: false };
  for (let next = place.attempt || 1; ; next = place.attempt + 1) {
    const attempt = await attemptFrom(source, next, signal);
    if (attempt === undefined) break;
    if (attempt.attempt !== place.attempt || attempt.epoch !== place.epoch) {
      place = { attempt: attempt.attempt, epoch: attempt.epoch, position: 0, ended: false };
      yield [leased(attempt)];
    }
    place = yield* logEvents(source, place, signal);
  }
  const last = await source.job.record();
  if (last?.result) {
    yield [
      { id: formatEventId({ ...place, ended: true }), event: "finished", data: { result: last.result } },
    ];
  }
}

/** The first attempt from number `from` on, as soon as there is one; undefined when the job ended without. */
export async function attemptFrom(
  source: EventSource,
  from: number,
  signal: AbortSignal,
): Promise<AttemptRecord | undefined> {
  for (;;) {
    const changed = source.job.changed.wait();
    const record = await source.job.record();
    const next = record?.attempts.find(({ attempt }) => attempt >= from);
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
    if (records === null) return { ...from, position: cursor.position };
    const events = records.flatMap((record) => eventOf(from, record) ?? []);
    if (events.length > 0) yield events;
  }
}

function queued(job: JobRecord): JobEvent {
  const id = formatEventId({ attempt: 0, epoch: 0, position: 0, ended: false });
  return { id, event: "queued", data: { job: job.id, at: isoTime(job.createdAt) } };
}

function leased({ attempt, epoch, workerId, leasedAt }: AttemptRecord): JobEvent {
  const id = formatEventId({ attempt, epoch, position: 0, ended: false });
  return { id, event: "leased", data: { attempt, worker: workerId, at: isoTime(leasedAt) } };
}

/** Undefined for events of a kind this version does not know. */
function eventOf(place: EventPlace, record: PlacedRecord): JobEvent | undefined {
  const { attempt } = place;
  const id = formatEventId({ ...place, position: record.to });
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
