import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ChunkQueue } from "../../../src/async/index.ts";
import { closeOf, errorOfClose } from "../../../src/channel/close-codes.ts";
import { decodeControl } from "../../../src/channel/control.ts";
import { Keepalive } from "../../../src/channel/keepalive.ts";
import { maxBuffered, Scheduler } from "../../../src/channel/scheduler.ts";
import { errorCodes, isError, SallyportError, type ErrorCode } from "../../../src/errors.ts";

test("a queue gives back what was put in, whatever the sizes", () => {
  const step = fc.oneof(
    fc.record({ put: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 900, max: 1_200 })) }),
    fc.record({ take: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 1, max: 2_000 })) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new ChunkQueue();
      let put = 0;
      let taken = 0;
      const take = (limit: number): void => {
        const chunk = queue.take(limit);
        assert.equal(chunk === undefined, put === taken);
        assert.ok((chunk?.length ?? 0) <= limit);
        for (const byte of chunk ?? []) assert.equal(byte, taken++ & 0xff);
      };
      for (const one of steps) {
        if ("put" in one) queue.push(Uint8Array.from({ length: one.put }, () => put++ & 0xff));
        else take(one.take);
        assert.equal(queue.isEmpty, put === taken);
      }
      while (!queue.isEmpty) take(Number.POSITIVE_INFINITY);
      assert.equal(taken, put);
    }),
    { numRuns: 1_000 },
  );
});

test("a few bytes that are kept from a queue keep no more room than they need", () => {
  const queue = new ChunkQueue();
  const kept: Uint8Array[] = [];
  for (let at = 0; at < 100; at += 1) {
    for (let byte = 0; byte < 3; byte += 1) queue.push(Uint8Array.of(byte));
    for (let chunk = queue.take(); chunk !== undefined; chunk = queue.take()) kept.push(chunk);
  }
  const room = kept.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  assert.equal(Buffer.concat(kept).length, 300);
  assert.ok(room <= 2 * 300, `${room} bytes`);
});

test("streams take turns, and nothing is handed over while the transport holds enough", () => {
  const sent: string[] = [];
  const transport = {
    buffered: 0,
    sendBinary: (bytes: Uint8Array) => void sent.push(Buffer.from(bytes).toString()),
  };
  const scheduler = new Scheduler(transport);
  const source = (name: string, frames: number): { nextFrame(): Uint8Array | undefined } => ({
    nextFrame: () => (frames-- > 0 ? Buffer.from(name) : undefined),
  });
  transport.buffered = maxBuffered;
  scheduler.wake(source("a", 3));
  scheduler.wake(source("b", 2));
  scheduler.wake(source("c", 1));
  const gone = source("d", 9);
  scheduler.wake(gone);
  scheduler.forget(gone);
  assert.deepEqual(sent, []);
  transport.buffered = 0;
  scheduler.pump();
  assert.equal(sent.join(""), "abcaba");
});

test("silence ends a channel, but not while this side reads nothing", (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  let over = 0;
  const watched = { received: 0, paused: true, ping: (): void => undefined };
  using _keepalive = new Keepalive(watched, () => (over += 1), { pingMs: 1_500, silenceMs: 4_000 });
  context.mock.timers.tick(60_000);
  assert.equal(over, 0);
  watched.paused = false;
  context.mock.timers.tick(4_000);
  assert.equal(over, 1);
});

test("every error survives a close: the same code, a reason of at most 123 bytes that is valid UTF-8", () => {
  const codes = Object.keys(errorCodes) as ErrorCode[];
  fc.assert(
    fc.property(fc.constantFrom(...codes), fc.string({ unit: "binary", maxLength: 300 }), (code, message) => {
      const close = closeOf(new SallyportError(code, message));
      assert.ok(Buffer.byteLength(close.reason) <= 123);
      assert.ok(close.code === 1009 || (close.code >= 4_400 && close.code < 4_600));
      assert.equal(Buffer.from(close.reason).toString(), close.reason);
      assert.equal(errorOfClose(close).code, code);
    }),
  );
});

test("a reason is cut between characters", () => {
  for (let at = 0; at < 8; at += 1) {
    const { reason } = closeOf(new SallyportError("internal", "x".repeat(at) + "😀é".repeat(60)));
    assert.ok(!reason.includes("\ufffd"));
    assert.ok(Buffer.byteLength(reason) > 119 && Buffer.byteLength(reason) <= 123);
  }
});

test("close codes of others mean what they say", () => {
  const codeOf = (code: number, reason = ""): string => errorOfClose({ code, reason }).code;
  assert.equal(codeOf(1006), "channel_closed");
  assert.equal(codeOf(1001), "channel_closed");
  assert.equal(codeOf(1009), "frame_too_large");
  assert.equal(codeOf(1002), "protocol_violation");
  assert.equal(codeOf(4400, "made_up: code"), "channel_closed");
  assert.equal(codeOf(4400, "constructor: x"), "channel_closed");
});

test("any text is a control object or one typed error", () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((json) => `{"type":"x","y":${json}}`),
  );
  fc.assert(
    fc.property(text, (given) => {
      try {
        assert.equal(typeof decodeControl(given).type, "string");
      } catch (error) {
        assert.ok(isError(error, "protocol_violation"), String(error));
      }
    }),
    { numRuns: 5_000 },
  );
});

test("brackets inside strings are no nesting", () => {
  const text = JSON.stringify({ type: "x", code: `${"[".repeat(500)}\\"{{"` });
  assert.equal(decodeControl(text).type, "x");
  assert.throws(() => decodeControl(`{"type":"x","y":${"[".repeat(100)}${"]".repeat(100)}}`), /nested/);
});

test("a __proto__ key is a key like any other", () => {
  const read = decodeControl('{"type":"x","__proto__":{"polluted":1}}');
  assert.equal(Object.getPrototypeOf(read), Object.prototype);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});
