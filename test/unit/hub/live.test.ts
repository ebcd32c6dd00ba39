import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { LiveJobs } from "../../../src/hub/live/live-jobs.ts";
import { LogCursor } from "../../../src/hub/live/log-cursor.ts";
import { LogTail } from "../../../src/hub/live/log-tail.ts";
import { placeInLog } from "../../../src/hub/live/place-in-log.ts";
import { followedBytes, storedBytes } from "../../../src/hub/live/stream-bytes.ts";
import { encodeRecord, RecordReader, type LogPlace, type PlacedRecord } from "../../../src/protocol/index.ts";
import type { JobRecord, JobStore, LogChunk, LogStore } from "../../../src/store/index.ts";

/** One attempt's log as a store keeps it: what was committed, in the chunks it came in. */
class StoredLog {
  readonly chunks: LogChunk[] = [];
  over = false;

  get end(): number {
    return this.chunks.at(-1)?.to ?? 0;
  }

  get log(): LogStore {
    const read = async (_job: string, _attempt: number, from: number): Promise<LogChunk[]> =>
      this.chunks.filter((chunk) => chunk.to > from).slice(0, 2);
    const end = async (): Promise<{ logEnd: number; stdout: number; stderr: number }> => {
      const reader = new RecordReader();
      for (const chunk of this.chunks) reader.push(chunk.bytes);
      const { position, stdoutBytes, stderrBytes } = reader.place;
      return { logEnd: position, stdout: stdoutBytes, stderr: stderrBytes };
    };
    return { read, end } as unknown as LogStore;
  }

  get jobs(): JobStore {
    const get = async (): Promise<JobRecord> => {
      const entry = { attempt: 1, finishedAt: this.over ? 1 : null, logEnd: this.end };
      return { attempts: [entry], result: null } as unknown as JobRecord;
    };
    return { get } as unknown as JobStore;
  }
}

interface Written {
  bytes: Uint8Array;
  before: LogPlace;
  after: LogPlace;
}

const large = (at: number): number => (at * 17_011) % 90_000;
/** most of them small enough to share a block */
const small = (at: number): number => (at * 337) % 1_200;

/** `count` records, cut into parts of whole records. */
function parts(count: number, size = large): Written[] {
  const reader = new RecordReader();
  return Array.from({ length: count }, (_, at) => {
    const before = { ...reader.place };
    const kind = at % 3 === 0 ? "stderr" : "stdout";
    const bytes = encodeRecord({ kind, at, bytes: Buffer.alloc(1 + size(at), at) });
    reader.push(bytes);
    return { bytes, before, after: { ...reader.place } };
  });
}

const chunkOf = ({ bytes, before, after }: Written): LogChunk => ({
  attempt: 1,
  from: before.position,
  to: after.position,
  bytes,
  stdoutBefore: before.stdoutBytes,
  stderrBefore: before.stderrBytes,
});

const told = (records: PlacedRecord[]): unknown[] =>
  records.map(({ from, to, kind, offset, bytes }) => [from, to, kind, offset, bytes[0], bytes.at(-1)]);

test("readers that come and go while a log is written and committed all read the same records, each once", async () => {
  const step = fc.constantFrom("write", "commit", "read a", "read b", "late reader");
  const logs = fc.constantFrom(parts(24), parts(24, small));
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 120 }),
      fc.boolean(),
      logs,
      async (steps, someoneReads, written) => {
        const whole = new RecordReader();
        const expected = told(written.flatMap(({ bytes }) => whole.push(bytes)));
        const stored = new StoredLog();
        const live = new LiveJobs({ jobs: stored.jobs });
        using use = live.open("j", someoneReads ? "reader" : "writer");
        const { job } = use;
        const tail = new LogTail(1, { position: 0, stdoutBytes: 0, stderrBytes: 0 });
        job.tail = tail;
        const cursor = (): { cursor: LogCursor; seen: PlacedRecord[] } => ({
          cursor: new LogCursor({ job, log: stored.log }, { attempt: 1, position: 0 }),
          seen: [],
        });
        const readers = [cursor(), cursor()];
        const { signal } = new AbortController();
        let at = 0;
        let durable = 0;
        for (const action of steps) {
          const next = written[at];
          if (action === "write" && next !== undefined) {
            assert.ok(tail.append(next));
            at += 1;
          } else if (action === "commit" && durable < at) {
            const ready = written[durable];
            assert.ok(ready);
            stored.chunks.push(chunkOf(ready));
            durable += 1;
            tail.committed(stored.end, job.readers);
          } else if (action === "late reader") readers.push(cursor());
          else {
            const reader = readers[action === "read a" ? 0 : 1];
            const end = written[at - 1]?.after.position ?? 0;
            if (reader !== undefined && reader.cursor.position < end) {
              reader.seen.push(...((await reader.cursor.next(signal)) ?? []));
            }
          }
        }
        for (; durable < written.length; durable += 1)
          stored.chunks.push(chunkOf(written[durable] as Written));
        stored.over = true;
        live.settle("j", null);
        for (const { cursor, seen } of readers) {
          for (let more = await cursor.next(signal); more !== null; more = await cursor.next(signal))
            seen.push(...more);
          assert.deepEqual(told(seen), expected);
        }
      },
    ),
    { numRuns: 150 },
  );
});

/** A log that is over, of records of one byte each, in one chunk. */
function printedByteByByte(count: number): StoredLog {
  const stored = new StoredLog();
  const bytes = Buffer.concat(
    Array.from({ length: count }, (_, at) =>
      encodeRecord({ kind: at % 4 === 0 ? "stderr" : "stdout", at, bytes: Buffer.of(at) }),
    ),
  );
  const start = { position: 0, stdoutBytes: 0, stderrBytes: 0 };
  stored.chunks.push(chunkOf({ bytes, before: start, after: { ...start, position: bytes.length } }));
  stored.over = true;
  return stored;
}

test("a log of many small records is read in short steps, with everybody else's turn between them", async () => {
  const stored = printedByteByByte(10_000);
  using use = new LiveJobs({ jobs: stored.jobs }).open("j", "reader");
  const cursor = new LogCursor({ job: use.job, log: stored.log }, { attempt: 1, position: 0 });
  let turns = 0;
  const count = (): void => {
    turns += 1;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  const steps: number[] = [];
  const seen: PlacedRecord[] = [];
  const { signal } = new AbortController();
  for (let more = await cursor.next(signal); more !== null; more = await cursor.next(signal)) {
    steps.push(more.length);
    seen.push(...more);
  }
  clearImmediate(timer);
  assert.equal(seen.length, 10_000);
  assert.ok(Math.max(...steps) <= 256, `a step of ${Math.max(...steps)} records`);
  assert.ok(turns >= steps.length - 2, `${turns} turns in ${steps.length} steps`);
});

test("a log that is removed while it is read breaks off, and is never taken for one that ended", async () => {
  const stored = new StoredLog();
  stored.chunks.push(...parts(9).map(chunkOf));
  stored.over = true;
  const { stdout } = await stored.log.end("j", 1);
  const locate = async (): Promise<LogChunk | null> => stored.chunks[0] ?? null;
  using use = new LiveJobs({ jobs: stored.jobs }).open("j", "reader");
  const source = { job: use.job, log: stored.log };
  const { signal } = new AbortController();
  const cursor = new LogCursor(source, { attempt: 1, position: 0 });
  await cursor.next(signal);
  const range = { attempt: 1, stream: "stdout" as const, from: 0, to: stdout };
  const bytes = storedBytes({ ...source, log: { ...source.log, locate } }, range);
  await bytes.next();
  stored.chunks.length = 0;
  const readOn = async (): Promise<void> => {
    for (let more = await cursor.next(signal); more !== null;) more = await cursor.next(signal);
  };
  await assert.rejects(readOn(), { code: "job_unknown" });
  await assert.rejects(Array.fromAsync(bytes), { code: "job_unknown" });
});

test("a stream that was printed byte by byte is handed out in few pieces, and to the byte", async () => {
  const stored = printedByteByByte(10_000);
  const locate = async (): Promise<LogChunk | null> => stored.chunks[0] ?? null;
  const log = { ...stored.log, locate } as LogStore;
  using use = new LiveJobs({ jobs: stored.jobs }).open("j", "reader");
  const expected = Buffer.from(Array.from({ length: 10_000 }, (_, at) => at).filter((at) => at % 4 !== 0));
  const range = { attempt: 1, stream: "stdout" as const, from: 10, to: 7_000 };
  const pieces = await Array.fromAsync(storedBytes({ job: use.job, log }, range));
  assert.deepEqual(Buffer.concat(pieces), expected.subarray(10, 7_000));
  assert.equal(pieces.length, 1);
  const { signal } = new AbortController();
  const follow = { stream: "stdout" as const, from: 10, attempt: 1 };
  const followed = (await Array.fromAsync(followedBytes({ job: use.job, log }, follow, signal))).flat();
  assert.deepEqual(Buffer.concat(followed), expected.subarray(10));
  assert.ok(followed.length <= 40, `${followed.length} pieces`);
});

test("a stream that was committed byte by byte is asked of the store in few calls, and handed out in few pieces", async () => {
  const chunks = parts(10_000, () => 0).map(chunkOf);
  let calls = 0;
  const log = {
    locate: async () => chunks[0] ?? null,
    read: async (_job: string, _attempt: number, from: number, maxBytes: number) => {
      calls += 1;
      const start = chunks.findIndex((chunk) => chunk.from >= from);
      return chunks.slice(start, start + Math.ceil(maxBytes / 12));
    },
  } as unknown as LogStore;
  using use = new LiveJobs({ jobs: new StoredLog().jobs }).open("j", "reader");
  const range = { attempt: 1, stream: "stdout" as const, from: 0, to: 6_666 };
  const pieces = await Array.fromAsync(storedBytes({ job: use.job, log }, range));
  assert.equal(Buffer.concat(pieces).length, 6_666);
  assert.ok(calls < 10 && pieces.length < 10, `${calls} calls, ${pieces.length} pieces`);
});

test("the tail keeps what is not committed and little of what is, and nothing when nobody reads", () => {
  const written = parts(60);
  const tail = new LogTail(1, { position: 0, stdoutBytes: 0, stderrBytes: 0 });
  for (const part of written) tail.append(part);
  const end = tail.place.position;
  assert.equal(tail.from, 0);
  tail.committed(end / 2, 1);
  assert.ok(tail.from > 0 && tail.from <= end / 2);
  tail.committed(end, 1);
  assert.ok(end - tail.from < 2 * 256 * 2 ** 10 && tail.from < end);
  tail.committed(end, 0);
  assert.equal(tail.from, end);
});

test("the tail of a log printed byte by byte is kept in few pieces", () => {
  const tail = new LogTail(1, { position: 0, stdoutBytes: 0, stderrBytes: 0 });
  const written = parts(20_000, () => 0);
  for (const part of written) tail.append(part);
  const pieces = tail.read(0, Number.POSITIVE_INFINITY);
  assert.ok(pieces.length < 20, `${pieces.length} pieces`);
  assert.deepEqual(
    Buffer.concat(pieces.map(({ bytes }) => bytes)),
    Buffer.concat(written.map(({ bytes }) => bytes)),
  );
});

test("what comes twice is kept once, what leaves a gap is not taken", () => {
  const [first, second, third] = parts(3) as [Written, Written, Written];
  const tail = new LogTail(1, { position: 0, stdoutBytes: 0, stderrBytes: 0 });
  assert.ok(tail.append(first) && tail.append(first));
  assert.equal(tail.append(third), false);
  const both = {
    bytes: Buffer.concat([first.bytes, second.bytes]),
    before: first.before,
    after: second.after,
  };
  assert.ok(tail.append(both));
  assert.equal(tail.place.position, second.after.position);
});

test("a log that goes on is counted from wherever it goes on, and not from a gap", async () => {
  const stored = new StoredLog();
  const written = parts(10);
  stored.chunks.push(...written.slice(0, 6).map(chunkOf));
  const live = new LiveJobs({ jobs: stored.jobs });
  using use = live.open("j", "writer");
  const source = { job: use.job, log: stored.log };
  for (const { before } of written.slice(0, 7)) {
    assert.deepEqual(await placeInLog(source, { attempt: 1, position: before.position }), before);
  }
  const beyond = written[8]?.before.position ?? 0;
  await assert.rejects(placeInLog(source, { attempt: 1, position: beyond }), /gap/);
  await assert.rejects(placeInLog(source, { attempt: 1, position: 5 }));
});

test("a job is forgotten with its last user", () => {
  const live = new LiveJobs({ jobs: new StoredLog().jobs });
  const first = live.open("j", "reader");
  const second = live.open("j", "writer");
  assert.equal(first.job, second.job);
  assert.deepEqual([live.size, first.job.readers], [1, 1]);
  first[Symbol.dispose]();
  assert.equal(live.size, 1);
  second[Symbol.dispose]();
  assert.equal(live.size, 0);
});
