import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError } from "../../../src/errors.ts";
import {
  countOutput,
  decodeRecordHeader,
  encodeRecord,
  encodeRecordHeader,
  eventRecord,
  gapRecord,
  maxRecordBytes,
  readEvent,
  readGap,
  recordHeaderBytes,
  RecordReader,
  type LogRecord,
  type PlacedRecord,
} from "../../../src/protocol/index.ts";

const record: fc.Arbitrary<LogRecord> = fc.record({
  kind: fc.constantFrom("stdout", "stderr", "event", "gap"),
  at: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 200 }),
});
const records = fc.array(record, { maxLength: 20 });
const violated = (error: unknown): boolean => isError(error, "protocol_violation");

function encodeAll(list: readonly LogRecord[]): Buffer {
  return Buffer.concat(list.map(encodeRecord));
}

/** The records of `log` read in pieces of the given sizes, repeated. */
function readSplit(log: Uint8Array, sizes: readonly number[]): PlacedRecord[] {
  const reader = new RecordReader();
  const read: PlacedRecord[] = [];
  let at = 0;
  for (let turn = 0; at < log.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    read.push(...reader.push(Uint8Array.from(log.subarray(at, at + size))));
    at += size;
  }
  reader.end();
  assert.equal(reader.pending, 0);
  assert.equal(reader.place.position, log.length);
  return read.map((one) => ({ ...one, bytes: Uint8Array.from(one.bytes) }));
}

test("however the log is cut, the same records come out, each at its place", () => {
  fc.assert(
    fc.property(records, fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }), (list, sizes) => {
      const log = encodeAll(list);
      const read = readSplit(log, sizes);
      assert.deepEqual(read, readSplit(log, [Math.max(1, log.length)]));
      assert.deepEqual(
        read.map(({ kind, at, bytes }) => ({ kind, at, bytes })),
        list.map(({ kind, at, bytes }) => ({ kind, at, bytes })),
      );
      let position = 0;
      const offsets = { stdout: 0, stderr: 0 };
      for (const one of read) {
        assert.equal(one.from, position);
        position = one.to;
        assert.equal(one.to - one.from, recordHeaderBytes + one.bytes.length);
        if (one.kind === "stdout" || one.kind === "stderr") {
          assert.equal(one.offset, offsets[one.kind]);
          offsets[one.kind] += one.bytes.length;
        } else assert.equal(one.offset, null);
      }
      const count = countOutput(log);
      assert.deepEqual(count, {
        records: list.length,
        stdoutBytes: offsets.stdout,
        stderrBytes: offsets.stderr,
      });
    }),
    { numRuns: 1_000 },
  );
});

test("a reader can start at any record", () => {
  fc.assert(
    fc.property(records, records, (before, after) => {
      const head = encodeAll(before);
      const { stdoutBytes, stderrBytes } = countOutput(head);
      const reader = new RecordReader({ position: head.length, stdoutBytes, stderrBytes });
      const whole = new RecordReader().push(encodeAll([...before, ...after])).slice(before.length);
      assert.deepEqual(reader.push(encodeAll(after)), whole);
    }),
    { numRuns: 300 },
  );
});

test("any bytes are records, a record that is not whole yet, or one typed error", () => {
  const junk = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .tuple(records, fc.uint8Array({ maxLength: 40 }))
      .map(([list, tail]) => Buffer.concat([encodeAll(list), tail])),
  );
  fc.assert(
    fc.property(junk, fc.integer({ min: 1, max: 50 }), (bytes, size) => {
      for (const act of [() => readSplit(bytes, [size]), () => countOutput(bytes)]) {
        try {
          act();
        } catch (error) {
          assert.ok(violated(error), String(error));
        }
      }
    }),
    { numRuns: 5_000 },
  );
});

test("a header claiming more than the limit, nothing, or an unknown kind is refused before its bytes come", () => {
  const header = Buffer.from(encodeRecordHeader("stdout", 1, 1));
  header.writeUInt32BE(maxRecordBytes + 1, 7);
  assert.throws(() => new RecordReader().push(header), violated);
  header.writeUInt32BE(0, 7);
  assert.throws(() => new RecordReader().push(header), violated);
  header.writeUInt32BE(1, 7);
  header[0] = 9;
  assert.throws(() => new RecordReader().push(header), violated);
});

test("a log that stops inside a record is refused at its end", () => {
  const bytes = encodeRecord({ kind: "stdout", at: 1, bytes: Buffer.from("abc") });
  for (let cut = 1; cut < bytes.length; cut += 1) {
    const reader = new RecordReader();
    assert.deepEqual(reader.push(bytes.subarray(0, cut)), []);
    assert.equal(reader.pending, cut);
    assert.throws(() => reader.end(), violated);
    assert.throws(() => countOutput(bytes.subarray(0, cut)), violated);
  }
});

test("the largest record goes through, byte for byte", () => {
  const bytes = Buffer.alloc(maxRecordBytes, "0123456789");
  const log = encodeRecord({ kind: "stderr", at: Date.now(), bytes });
  const [read] = readSplit(log, [65_536]);
  assert.ok(read !== undefined && Buffer.from(read.bytes).equals(bytes));
  assert.throws(() => encodeRecordHeader("stdout", 1, maxRecordBytes + 1), RangeError);
  assert.throws(() => encodeRecordHeader("stdout", 1, 0), RangeError);
});

test("the header alone is the start of the record", () => {
  const one: LogRecord = { kind: "event", at: 1_700_000_000_123, bytes: Buffer.from("{}") };
  const header = encodeRecordHeader(one.kind, one.at, one.bytes.length);
  assert.deepEqual(Buffer.concat([header, one.bytes]), Buffer.from(encodeRecord(one)));
  assert.deepEqual(decodeRecordHeader(header), { kind: "event", at: 1_700_000_000_123, length: 2 });
});

test("events and gaps hold their JSON, and nothing else passes for them", () => {
  assert.deepEqual(readEvent(eventRecord(1, { event: "started" })), { event: "started" });
  const gap = { stdoutBytes: 5, stderrBytes: 0 };
  assert.deepEqual(readGap(gapRecord(1, gap)), gap);
  assert.throws(() => readGap(eventRecord(1, { event: "started" })), violated);
  assert.throws(() => readEvent({ kind: "event", at: 1, bytes: Buffer.from([0xff]) }), violated);
  assert.throws(() => readEvent({ kind: "event", at: 1, bytes: Buffer.from('{"no":1}') }), violated);
  const deep = `{"event":"call","x":${"[".repeat(100)}${"]".repeat(100)}}`;
  assert.throws(() => readEvent({ kind: "event", at: 1, bytes: Buffer.from(deep) }), violated);
});
