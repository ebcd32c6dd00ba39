/** What a byte stream over a channel promises, over memory and over a real WebSocket on loopback. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { finished, type Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { suite, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { deferred, withDeadline } from "../../src/async/index.ts";
import {
  byteDuplex,
  ByteStreams,
  hubDialect,
  workerDialect,
  type HubChannel,
  type IncomingStream,
  type WorkerChannel,
} from "../../src/channel/index.ts";
import { isError, SallyportError } from "../../src/errors.ts";
import { limits, type TunnelStream } from "../../src/protocol/index.ts";
import { memoryEnds, wsEnds } from "../helpers/channel-ends.ts";

interface Ends extends AsyncDisposable {
  a: WorkerChannel;
  b: HubChannel;
}

const memory = (): Promise<Ends> => memoryEnds(workerDialect, hubDialect);
const overWs = (): Promise<Ends> => wsEnds(workerDialect, hubDialect);
const soon = <T>(promise: Promise<T>, what: string): Promise<T> => withDeadline(promise, 20_000, what);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const meta = (host = "docs.example"): TunnelStream => ({ kind: "tunnel", host, requestId: "r1" });

/** `open` is the worker's; what the hub accepts goes to `serve`. */
function wire(
  ends: Ends,
  serve: (stream: Duplex, meta: TunnelStream) => void,
): (signal?: AbortSignal, host?: string) => Promise<Duplex> {
  const near = new ByteStreams(ends.a);
  const far = new ByteStreams(ends.b);
  ends.a.listen({
    message: () => undefined,
    stream: (stream) => {
      if (stream.meta.kind === "tunnel.reply") near.replied(stream as Parameters<ByteStreams["replied"]>[0]);
    },
  });
  ends.b.listen({
    message: () => undefined,
    stream: (stream) => {
      const tunnel = stream as IncomingStream<TunnelStream>;
      if (tunnel.meta.host === "refused.example") {
        tunnel.reset(new SallyportError("route_unknown", "no such route", { details: { layer: "name" } }));
      } else if (tunnel.meta.host !== "silent.example") serve(byteDuplex(far.accept(tunnel)), tunnel.meta);
    },
  });
  return async (signal, host) => byteDuplex(await near.open(meta(host), signal));
}

/** One stream, as its opener and as its far end have it; `open` makes more. */
async function opened(ends: Ends): Promise<{ open: ReturnType<typeof wire>; stream: Duplex; far: Duplex }> {
  const served = deferred<Duplex>();
  const open = wire(ends, (stream) => served.resolve(stream));
  return { open, stream: await open(), far: await served.promise };
}

const echo = (stream: Duplex): void => {
  stream.on("error", () => undefined);
  stream.pipe(stream);
};

/** The error a stream is destroyed with. */
function failure(stream: Duplex): Promise<unknown> {
  return new Promise((resolve) => void finished(stream, (error) => resolve(error)));
}

/** Resolves once the stream is closed, broken or not. */
const closed = (stream: Duplex): Promise<unknown> =>
  stream.closed ? Promise.resolve() : once(stream, "close");

for (const [name, make] of [
  ["memory", memory],
  ["websocket", overWs],
] as const) {
  suite(`byte streams over ${name}`, () => {
    test("carry bytes of any size both ways, unchanged", async () => {
      await using ends = await make();
      const open = wire(ends, echo);
      for (const size of [0, 1, 3, 70_000, 3 * limits.streamWindow + 7]) {
        const stream = await open();
        const sent = randomBytes(size);
        stream.end(sent);
        assert.equal(sha256(await soon(buffer(stream), `${size} bytes back`)), sha256(sent));
      }
    });

    test("are half-closed by end: the other half goes on", async () => {
      await using ends = await make();
      const open = wire(ends, (stream) => void answerAtEnd(stream));
      const stream = await open();
      stream.end("question");
      assert.equal((await soon(buffer(stream), "the answer")).toString(), "question, answered");
    });

    test("carry many small writes as few chunks, in order", async () => {
      await using ends = await make();
      const open = wire(ends, echo);
      const stream = await open();
      const words = Array.from({ length: 5_000 }, (_, n) => `${n},`);
      for (const word of words) stream.write(word);
      stream.end();
      assert.equal((await soon(buffer(stream), "words")).toString(), words.join(""));
    });

    test("hold no crumbs: those nobody reads wait as bytes, those nobody takes are not taken", async () => {
      await using ends = await make();
      const { stream, far } = await opened(ends);
      for (const end of [stream, far]) end.on("error", () => undefined);
      far.once("readable", () => undefined);
      for (let sent = 0; sent < 2_000; sent += 1) await new Promise((next) => stream.write("x", next));
      for (let turn = 0; turn < 200; turn += 1) await setImmediate();
      assert.ok(far.readableLength < 10, `${far.readableLength} pieces`);
      stream.write(Buffer.alloc(limits.streamWindow));
      assert.equal(stream.write("x"), false);
      stream.end();
      assert.equal((await soon(buffer(far), "all of it")).length, 2_001 + limits.streamWindow);
    });

    test("that cannot be opened reject with the far end's code and details", async () => {
      await using ends = await make();
      const open = wire(ends, echo);
      await assert.rejects(open(undefined, "refused.example"), (error) => {
        assert.ok(isError(error, "route_unknown"));
        assert.deepEqual(error.details, { layer: "name" });
        return true;
      });
    });

    test("are given up by a signal while they open", async () => {
      await using ends = await make();
      const open = wire(ends, echo);
      const control = new AbortController();
      const opening = open(control.signal, "silent.example");
      control.abort(new SallyportError("cancelled", "changed its mind"));
      await assert.rejects(opening, (error) => isError(error, "cancelled"));
      const stream = await open();
      stream.end("still works");
      assert.equal((await soon(buffer(stream), "another")).toString(), "still works");
    });

    test("end at both sides with the error one side destroys them with", async () => {
      await using ends = await make();
      const { stream, far } = await opened(ends);
      const [near, there] = [failure(stream), failure(far)];
      far.resume();
      stream.destroy(new SallyportError("outcome_unknown", "cut", { details: { layer: "edge" } }));
      assert.ok(isError(await soon(near, "near"), "outcome_unknown"));
      const error = await soon(there, "far");
      assert.ok(isError(error, "outcome_unknown"));
      assert.deepEqual(error.details, { layer: "edge" });
    });

    test("end with the channel, read or not", async () => {
      await using ends = await make();
      const { open, stream, far } = await opened(ends);
      const both = [failure(stream), failure(far)];
      const pending = open(undefined, "silent.example");
      ends.a.abort(new SallyportError("channel_closed", "cut"));
      await assert.rejects(pending, (error) => isError(error, "channel_closed"));
      for (const error of await soon(Promise.all(both), "both")) assert.ok(isError(error, "channel_closed"));
      await assert.rejects(open(), (error) => isError(error, "channel_closed"));
    });

    test("whose reader is slow stall alone, and lose nothing", async () => {
      await using ends = await make();
      const served: Duplex[] = [];
      const open = wire(ends, (stream) => served.push(stream));
      const [slow, quick] = [await open(), await open()];
      const size = 6 * limits.streamWindow;
      const [first, second] = [randomBytes(size), randomBytes(size)];
      for (const stream of [slow, quick, ...served]) stream.on("error", () => undefined);
      let slowSent = false;
      slow.end(first, () => (slowSent = true));
      quick.end(second);
      assert.equal(sha256(await soon(buffer(served[1] as Duplex), "the quick one")), sha256(second));
      assert.equal(slowSent, false);
      assert.equal(sha256(await soon(buffer(served[0] as Duplex), "the slow one")), sha256(first));
    });

    test("can be two thousand at once, and leave nothing behind", async () => {
      await using ends = await make();
      const open = wire(ends, echo);
      for (let round = 0; round < 3; round += 1) {
        const streams = await soon(Promise.all(Array.from({ length: 2_000 }, () => open())), "opening");
        const answers = streams.map((stream, n) => {
          stream.end(`stream ${n}`);
          return buffer(stream);
        });
        const texts = (await soon(Promise.all(answers), "echoes")).map(String);
        assert.deepEqual([texts[0], texts[1_999]], ["stream 0", "stream 1999"]);
      }
    });

    test("are read to their end where the far end is closed behind it, however late", async () => {
      await using ends = await make();
      const { open, stream, far } = await opened(ends);
      const reply = randomBytes(limits.streamWindow);
      far.end(reply, () => far.destroy());
      stream.write("nobody reads this any more");
      await assert.rejects(open(undefined, "refused.example"));
      assert.equal(sha256(await soon(buffer(stream), "the reply")), sha256(reply));
      stream.end();
      await soon(Promise.all([closed(stream), closed(far)]), "both closed");
    });

    test("are closed only once the far end has all they were given", async () => {
      await using ends = await make();
      const { open, stream, far } = await opened(ends);
      const order: string[] = [];
      far.once("close", () => order.push("closed"));
      far.end(randomBytes(limits.streamWindow), () => far.destroy());
      await assert.rejects(open(undefined, "refused.example"));
      await buffer(stream);
      order.push("read");
      await soon(closed(far), "the far end closed");
      assert.deepEqual(order, ["read", "closed"]);
      stream.destroy();
    });

    test("whose far end takes no more break when they are written to after the reply was read", async () => {
      await using ends = await make();
      const { stream, far } = await opened(ends);
      far.end("reply", () => far.destroy());
      assert.equal(String(await soon(buffer(stream), "the reply")), "reply");
      await soon(closed(far), "the far end closed");
      const broken = failure(stream);
      stream.write("more");
      assert.ok(isError(await soon(broken, "the error"), "cancelled"));
    });

    test("that break inside a reply end at once, read or not", async () => {
      await using ends = await make();
      const { stream, far } = await opened(ends);
      far.on("error", () => undefined);
      const broken = failure(stream);
      far.write(randomBytes(1_000), () => far.destroy(new SallyportError("outcome_unknown", "cut")));
      assert.ok(isError(await soon(broken, "the error"), "outcome_unknown"));
    });

    test("tell a dead end from an ended one", async () => {
      await using ends = await make();
      const { stream, far } = await opened(ends);
      stream.write("part");
      await once(far, "readable");
      const ended = failure(far);
      far.resume();
      stream.destroy();
      assert.ok(isError(await soon(ended, "far"), "cancelled"));
    });
  });
}

async function answerAtEnd(stream: Duplex): Promise<void> {
  const question = await buffer(stream);
  stream.end(`${question.toString()}, answered`);
}
