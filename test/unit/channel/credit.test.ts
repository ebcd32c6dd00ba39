import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ReceiveWindow, SendWindow } from "../../../src/channel/credit.ts";
import { Incoming } from "../../../src/channel/incoming-stream.ts";
import { Outgoing } from "../../../src/channel/outgoing-stream.ts";
import { isError, SallyportError } from "../../../src/errors.ts";
import { decodeFrame, limits, type Frame } from "../../../src/protocol/index.ts";

test("the sender never has more than the window unacknowledged, and the receiver agrees at every step", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("take" as const), bytes: fc.nat(150) }),
    fc.record({ do: fc.constant("grant" as const), bytes: fc.nat(150) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 100 }), (steps, size) => {
      const sender = new SendWindow(size);
      const receiver = new ReceiveWindow(size);
      let flying = 0;
      for (const { do: act, bytes } of steps) {
        if (act === "take") {
          const taken = sender.take(bytes);
          assert.equal(taken, Math.min(bytes, size - flying));
          receiver.receive(taken);
          flying += taken;
        } else {
          const granted = Math.min(bytes, flying);
          receiver.grant(granted);
          sender.grant(granted);
          flying -= granted;
        }
        assert.ok(flying >= 0 && flying <= size);
        assert.equal(sender.available, size - flying);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("overrunning a window and granting above what was sent are violations", () => {
  const receiver = new ReceiveWindow(10);
  receiver.receive(10);
  assert.throws(
    () => receiver.receive(1),
    (error) => isError(error, "protocol_violation"),
  );
  const sender = new SendWindow(10);
  sender.take(4);
  assert.throws(
    () => sender.grant(5),
    (error) => isError(error, "protocol_violation"),
  );
  assert.throws(
    () => receiver.grant(11),
    (error) => isError(error, "internal"),
  );
});

/** Two stream ends without a network between them: frames are carried over when the schedule says so. */
function linkedStream(): {
  sender: Outgoing;
  receiver: Incoming<null>;
  carryDown: () => boolean;
  carryUp: () => boolean;
} {
  const up: Frame[] = [];
  const sender: Outgoing = new Outgoing(
    { wake: () => undefined, control: () => undefined, over: () => undefined },
    1,
  );
  const receiver = new Incoming<null>({ control: (frame) => up.push(frame), over: () => undefined }, 1, null);
  return {
    sender,
    receiver,
    carryDown() {
      const bytes = sender.nextFrame();
      if (bytes === undefined) return false;
      const frame = decodeFrame(bytes);
      if (frame.type === "data") receiver.received(frame.payload);
      else receiver.endReceived();
      return true;
    },
    carryUp() {
      const frame = up.shift();
      if (frame?.type === "credit") sender.credited(frame.bytes);
      if (frame?.type === "done") sender.done();
      return frame !== undefined;
    },
  };
}

test("for any interleaving of writes, deliveries and grants every byte arrives in order and nothing stalls for ever", async () => {
  const size = fc.oneof(
    fc.integer({ min: 0, max: 2_000 }),
    fc.integer({ min: limits.streamWindow - 5, max: 2 * limits.streamWindow }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(size, { minLength: 1, maxLength: 8 }),
      fc.array(fc.constantFrom("write", "down", "grant", "up"), { maxLength: 300 }),
      async (sizes, schedule) => {
        const { sender, receiver, carryDown, carryUp } = linkedStream();
        const total = sizes.reduce((sum, bytes) => sum + bytes, 0);
        const source = Buffer.alloc(total, "the quick brown fox jumps over the lazy dog");
        const writes: Promise<void>[] = [];
        let written = 0;
        const write = (): boolean => {
          const bytes = sizes[writes.length];
          if (bytes === undefined) return false;
          writes.push(sender.write(source.subarray(written, written + bytes)));
          written += bytes;
          if (writes.length === sizes.length) sender.end();
          return true;
        };
        let read = 0;
        let granted = 0;
        const done = (async () => {
          for await (const chunk of receiver.chunks) {
            assert.ok(source.subarray(read, read + chunk.length).equals(chunk));
            read += chunk.length;
          }
          receiver.grant(read - granted);
          granted = read;
          receiver.finish();
        })();
        const grant = (): boolean => {
          const bytes = read - granted;
          granted = read;
          receiver.grant(bytes);
          return bytes > 0;
        };
        const acts = { write, down: carryDown, grant, up: carryUp };
        for (const act of schedule) {
          acts[act]();
          await Promise.resolve();
        }
        const state = { over: false };
        const finished = sender.finished.then(() => (state.over = true));
        for (let round = 0; !state.over && round < 10_000; round += 1) {
          write();
          carryDown();
          grant();
          carryUp();
          await new Promise((resolve) => void setImmediate(resolve));
        }
        assert.equal(read, total);
        assert.equal(sender.granted, total);
        await Promise.all([...writes, done, finished]);
      },
    ),
    { numRuns: 60 },
  );
});

test("everything that waits is told once when a stream fails", async () => {
  const { sender, receiver } = linkedStream();
  const writing = sender.write(Buffer.alloc(2 * limits.streamWindow));
  const reason = new SallyportError("channel_closed", "over");
  sender.fail(reason);
  sender.fail(new SallyportError("internal", "again"));
  await assert.rejects(writing, reason);
  await assert.rejects(sender.finished, reason);
  await assert.rejects(sender.write(Buffer.alloc(1)), reason);
  assert.equal(sender.nextFrame(), undefined);
  receiver.fail(reason);
  await assert.rejects(receiver.chunks[Symbol.asyncIterator]().next(), reason);
});
