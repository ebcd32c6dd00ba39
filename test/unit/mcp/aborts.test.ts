/** A caller or an upstream that goes away at any moment: nothing is left open, nothing is sent for half a request. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import { SallyportError } from "../../../src/errors.ts";
import type { HttpRequest } from "../../../src/exchange/index.ts";
import { callText, eventsAnswer, rig } from "./rig.ts";

const stalled = (...chunks: string[]): Readable => {
  const stream = new Readable({ read: () => undefined });
  for (const chunk of chunks) stream.push(Buffer.from(chunk));
  return stream;
};

const request = (body: Readable): HttpRequest => ({
  id: "r",
  method: "POST",
  host: "docs.test",
  target: "/mcp",
  headers: [["content-type", "application/json"]],
  body,
});

const gone = new SallyportError("cancelled", "the caller went away");

test("a caller that leaves while it sends reaches nobody", async () => {
  const text = callText("search");
  await fc.assert(
    fc.asyncProperty(fc.nat(text.length - 1), fc.boolean(), async (sent, resets) => {
      const at = rig();
      const [controller, body] = [new AbortController(), stalled(text.slice(0, sent))];
      const answer = at.forward(request(body), controller.signal);
      if (resets) body.destroy();
      else controller.abort(gone);
      await assert.rejects(answer, { code: resets ? "stream_reset" : "cancelled" });
      assert.equal(at.sent.length, 0);
      assert.equal(at.ended.length, 0);
    }),
  );
});

test("a caller that does not send the rest of its body for a minute is told so, and nobody is reached", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const at = rig();
  const answer = at.forward(request(stalled(callText("search").slice(0, 5))), new AbortController().signal);
  t.mock.timers.tick(59_000);
  assert.equal(
    await Promise.race([answer, new Promise((resolve) => setImmediate(resolve, "waits"))]),
    "waits",
  );
  t.mock.timers.tick(1_000);
  await assert.rejects(answer, { code: "deadline_exceeded" });
  assert.equal(at.sent.length, 0);
});

test("a caller that leaves before the answer gets none, and the outcome is unknown", async () => {
  for (const reason of [gone, new Error("no reason of ours")]) {
    const controller = new AbortController();
    const at = rig({
      script: () => {
        controller.abort(reason);
        throw reason;
      },
    });
    await assert.rejects(
      at.forward(request(Readable.from([Buffer.from(callText("search"))])), controller.signal),
    );
    assert.deepEqual(
      at.ended.map(({ outcome }) => outcome),
      ["unknown"],
    );
  }
});

test("a thousand callers that leave in mid-stream end a thousand upstream streams", async () => {
  for (let n = 0; n < 1_000; n += 1) {
    const source = stalled("data: {}\n\n");
    const at = rig({ script: () => ({ ...eventsAnswer([]), body: source }) });
    const body = Readable.from([Buffer.from(callText("search"))]);
    const response = await at.forward(request(body), new AbortController().signal);
    if (n % 2 === 0) for await (const _ of response.body) break;
    else response.body.destroy();
    assert.equal(source.destroyed, true);
    assert.equal(at.ended.length, 1);
  }
});

test("an upstream's stream that nobody reads is not read ahead", async () => {
  let read = 0;
  const source = new Readable({
    highWaterMark: 1,
    read() {
      read += 1;
      this.push(Buffer.from(`data: "${"x".repeat(1_000)}"\n\n`));
    },
  });
  const at = rig({ script: () => ({ ...eventsAnswer([]), body: source }) });
  const body = Readable.from([Buffer.from(callText("search"))]);
  const response = await at.forward(request(body), new AbortController().signal);
  const iterator = response.body[Symbol.asyncIterator]();
  await iterator.next();
  for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate);
  assert.ok(read < 200, `${read} events were read for one`);
  await iterator.return?.();
});

/** A call of 100 KB in two pieces, the second one missing. */
const largeHalf = (): Readable =>
  stalled(callText("search", 1, { text: "x".repeat(100_000) }).slice(0, 90_000));
const largeWhole = (): Readable => {
  const text = callText("search", 1, { text: "x".repeat(100_000) });
  return Readable.from([Buffer.from(text.slice(0, 90_000)), Buffer.from(text.slice(90_000))]);
};

test("large bodies wait until there is room for them, small ones do not", async () => {
  const at = rig({ roomBytes: 4 * 2 ** 20 });
  const first = new AbortController();
  const standing = at.forward(request(largeHalf()), first.signal);
  const { signal } = new AbortController();
  const second = at.forward(request(largeWhole()), signal);
  await at.forward(request(Readable.from([Buffer.from(callText("search", 2))])), signal);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(at.sent.length, 1);
  first.abort(gone);
  await assert.rejects(standing, { code: "cancelled" });
  await second;
  assert.equal(at.sent.length, 2);
});

test("whoever leaves while it waits for room or has it makes room for the next", async () => {
  const steps = fc.array(fc.record({ waits: fc.boolean(), resets: fc.boolean(), at: fc.nat(6) }), {
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const at = rig({ roomBytes: 8 * 2 ** 20 });
      const callers: { answer: Promise<unknown>; leave: (resets: boolean) => void }[] = [];
      for (const { waits, resets, at: place } of all) {
        const [controller, body] = [new AbortController(), largeHalf()];
        const answer = at.forward(request(body), controller.signal).catch(() => undefined);
        const leave = (reset: boolean): void => void (reset ? body.destroy() : controller.abort(gone));
        callers.push({ answer, leave });
        if (waits) await new Promise((resolve) => setImmediate(resolve));
        callers[place]?.leave(resets);
      }
      for (const { leave } of callers) leave(false);
      await Promise.all(callers.map(({ answer }) => answer));
      const { signal } = new AbortController();
      await Promise.all([1, 2].map(() => at.forward(request(largeWhole()), signal)));
      assert.equal(at.sent.length, 2);
    }),
  );
});
