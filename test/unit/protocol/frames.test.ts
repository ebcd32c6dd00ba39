import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError, SallyportError, type ErrorCode } from "../../../src/errors.ts";
import { decodeFrame, encodeData, encodeFrame, limits, type Frame } from "../../../src/protocol/index.ts";

const stream = fc.integer({ min: 1, max: 0xffff_ffff });
const payload = fc.uint8Array({ minLength: 1, maxLength: 2_000 });
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant("data" as const), stream, payload }),
  fc.record({ type: fc.constantFrom("end" as const, "done" as const), stream }),
  fc.record({
    type: fc.constant("credit" as const),
    stream,
    bytes: fc.integer({ min: 1, max: 0xffff_ffff }),
  }),
);

const coded =
  (...codes: ErrorCode[]) =>
  (error: unknown): boolean =>
    isError(error, ...codes);

test("what is encoded is decoded to the same", () => {
  fc.assert(
    fc.property(frame, (given) => {
      const read = decodeFrame(encodeFrame(given));
      assert.deepEqual(
        { ...read, ...("payload" in read ? { payload: Uint8Array.from(read.payload) } : {}) },
        { ...given },
      );
    }),
    { numRuns: 2_000 },
  );
});

test("any bytes are a frame or one typed error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        assert.deepEqual(Uint8Array.from(encodeFrame(decodeFrame(bytes))).length > 0, true);
      } catch (error) {
        assert.ok(isError(error, "protocol_violation", "frame_too_large"), String(error));
      }
    }),
    { numRuns: 20_000 },
  );
});

test("a frame cut short is a typed error or another valid frame, never a crash", () => {
  fc.assert(
    fc.property(frame, fc.nat(), (given, cut) => {
      const bytes = encodeFrame(given);
      const short = bytes.subarray(0, cut % bytes.length);
      try {
        assert.equal(decodeFrame(short).type, "data");
      } catch (error) {
        assert.ok(isError(error, "protocol_violation"), String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});

test("a payload is taken up to the limit and refused above it", () => {
  const most = encodeFrame({ type: "data", stream: 1, payload: new Uint8Array(limits.frameBytes) });
  assert.equal(decodeFrame(most).type, "data");
  const more = encodeFrame({ type: "data", stream: 1, payload: new Uint8Array(limits.frameBytes + 1) });
  assert.throws(() => decodeFrame(more), coded("frame_too_large"));
});

test("parts make one data frame, and its payload is a view", () => {
  const bytes = encodeData(7, [Buffer.from("ab"), Buffer.from(""), Buffer.from("cde")], 5);
  const read = decodeFrame(bytes);
  assert.ok(read.type === "data");
  assert.equal(Buffer.from(read.payload).toString(), "abcde");
  assert.equal(read.payload.buffer, bytes.buffer);
});

test("stream 0, empty data, empty credit and stray payloads are refused", () => {
  for (const bytes of [
    [1, 0, 0, 0, 0, 65],
    [1, 0, 0, 0, 1],
    [2, 0, 0, 0, 1, 65],
    [3, 0, 0, 0, 1, 0, 0, 0, 0],
    [3, 0, 0, 0, 1, 0, 0, 1],
    [4, 0, 0, 0, 1],
    [4, 0, 0, 0, 1, 0xff, 0xfe],
    [4, 0, 0, 0, 1, ...Buffer.from('{"code":1}')],
    [5, 0, 0, 0, 1, 65],
    [0, 0, 0, 0, 1],
    [],
  ]) {
    assert.throws(() => decodeFrame(Uint8Array.from(bytes)), coded("protocol_violation"));
  }
});

test("a reset carries its error; details too large for a frame are left out", () => {
  const error = new SallyportError("lease_superseded", "another \u0000 owns it", { details: { attempt: 2 } });
  const read = decodeFrame(encodeFrame({ type: "reset", stream: 3, error }));
  assert.ok(read.type === "reset");
  assert.deepEqual(read.error.toWire(), error.toWire());
  const huge = new SallyportError("internal", "\u0001".repeat(10_000), {
    details: { text: "x".repeat(limits.frameBytes) },
  });
  const short = decodeFrame(encodeFrame({ type: "reset", stream: 3, error: huge }));
  assert.ok(short.type === "reset");
  assert.equal(short.error.message.length, 4_096);
  assert.deepEqual(short.error.details, {});
});

test("a reset that nests too deep for whoever would pass it on is refused, and never sent", () => {
  const deep = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);
  const reset = (levels: number): Buffer =>
    Buffer.from(`\u0004\0\0\0\u0003{"code":"internal","message":"m","details":{"a":${deep(levels)}}}`);
  assert.throws(() => decodeFrame(reset(60_000)), /nested deeper than 64/);
  const read = decodeFrame(reset(62));
  assert.ok(read.type === "reset");
  const details = { reason: read.error.toWire() };
  const passedOn = new SallyportError("stream_reset", "given up", { details });
  const again = decodeFrame(encodeFrame({ type: "reset", stream: 3, error: passedOn }));
  assert.ok(again.type === "reset");
  assert.deepEqual(again.error.toWire(), { code: "stream_reset", message: "given up" });
});

test("a code this version does not know becomes internal", () => {
  const payload = Buffer.from(JSON.stringify({ code: "from_the_future", message: "?" }));
  const read = decodeFrame(Buffer.concat([Buffer.from([4, 0, 0, 0, 1]), payload]));
  assert.ok(read.type === "reset");
  assert.equal(read.error.code, "internal");
});
