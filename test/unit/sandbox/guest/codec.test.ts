import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError } from "../../../../src/errors.ts";
import { encodeFrame, FrameDecoder, guestFrames } from "../../../../src/sandbox/guest/index.ts";

interface Seen {
  frames: { type: number; id: number; payload: string }[];
  error: unknown;
}

function decode(chunks: readonly Buffer[]): Seen {
  const seen: Seen = { frames: [], error: undefined };
  const decoder = new FrameDecoder(({ type, id, payload }) =>
    seen.frames.push({ type, id, payload: payload.toString("hex") }),
  );
  for (const chunk of chunks) {
    try {
      decoder.push(chunk);
    } catch (error) {
      seen.error ??= error;
    }
  }
  return seen;
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

const id = fc.integer({ min: 1, max: 0xffffffff });
const sized = (type: number, bytes: number): fc.Arbitrary<Buffer> =>
  fc
    .tuple(id, fc.uint8Array({ minLength: bytes, maxLength: bytes }))
    .map(([n, payload]) => encodeFrame(type, n, payload));
const data = fc
  .tuple(
    fc.constantFrom(guestFrames.stdout, guestFrames.stderr, guestFrames.data),
    id,
    fc.uint8Array({ minLength: 1, maxLength: 300 }),
  )
  .map(([type, n, payload]) => encodeFrame(type, n, payload));
const valid = fc.oneof(
  data,
  sized(guestFrames.exit, 18),
  sized(guestFrames.eof, 1),
  sized(guestFrames.inputClosed, 0),
);
const cuts = fc.array(fc.nat(10_000), { maxLength: 20 });

test("any frames cut anywhere decode to the same frames", () => {
  fc.assert(
    fc.property(fc.array(valid, { maxLength: 20 }), cuts, (frames, where) => {
      const bytes = Buffer.concat(frames);
      const whole = decode([bytes]);
      assert.equal(whole.error, undefined);
      assert.equal(whole.frames.length, frames.length);
      assert.deepEqual(decode(split(bytes, where)), whole);
      assert.deepEqual(
        whole.frames.map((frame) =>
          encodeFrame(frame.type, frame.id, Buffer.from(frame.payload, "hex")).toString("hex"),
        ),
        frames.map((frame) => frame.toString("hex")),
      );
    }),
  );
});

test("any bytes are frames and then at most one typed error, wherever they are cut", () => {
  const bytes = fc.tuple(fc.array(valid, { maxLength: 3 }), fc.uint8Array({ maxLength: 200 }));
  fc.assert(
    fc.property(bytes, cuts, ([frames, noise], where) => {
      const input = Buffer.concat([...frames, noise]);
      const whole = decode([input]);
      assert.ok(whole.error === undefined || isError(whole.error, "guest_violation"));
      const cut = decode(split(input, where));
      assert.deepEqual(cut.frames, whole.frames);
      assert.equal(cut.error === undefined, whole.error === undefined);
    }),
    { numRuns: 2_000 },
  );
});

test("a length beyond the bound of its type is refused before any payload is there", () => {
  for (const [type, length] of [
    [guestFrames.stdout, 65_537],
    [guestFrames.stdout, 0],
    [guestFrames.data, 0xffffffff],
    [guestFrames.exit, 19],
    [guestFrames.done, 22],
  ] as const) {
    const header = Buffer.alloc(9);
    header.writeUInt8(type, 0);
    header.writeUInt32BE(1, 1);
    header.writeUInt32BE(length, 5);
    assert.ok(isError(decode([header]).error, "guest_violation"));
  }
});

test("after a breach nothing is decoded any more", () => {
  const good = encodeFrame(guestFrames.eof, 1, Buffer.of(1));
  const { frames, error } = decode([good, Buffer.alloc(9, 0xff), good, good]);
  assert.equal(frames.length, 1);
  assert.ok(isError(error, "guest_violation"));
});

test("a payload that lies whole in a chunk is a view of it", () => {
  const chunk = encodeFrame(guestFrames.stdout, 1, Buffer.alloc(1000));
  let payload: Buffer = Buffer.alloc(0);
  new FrameDecoder((frame) => (payload = frame.payload)).push(chunk);
  assert.equal(payload.buffer, chunk.buffer);
});
