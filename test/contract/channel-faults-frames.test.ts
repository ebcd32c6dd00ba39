/** What a channel does with a far end that breaks the protocol, floods it or does not read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { deferred } from "../../src/async/index.ts";
import { memoryChannelPair, type IncomingStream } from "../../src/channel/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { connectPath, encodeFrame, limits, subprotocol } from "../../src/protocol/index.ts";
import { soon } from "../helpers/channel-checks.ts";
import { deaf, dialect, nothing, startHub, type Hub, type Json } from "../helpers/channel-hub.ts";

/** A WebSocket of the dialler's side that says what it wants, and how the hub closed it. */
async function rawDialler(
  hub: Hub,
): Promise<{ ws: WebSocket; closed: Promise<{ code: number; reason: string }> }> {
  const ws = new WebSocket(`ws://127.0.0.1:${hub.port}${connectPath}`, subprotocol, {
    perMessageDeflate: true,
  });
  ws.on("error", nothing);
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.once("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await new Promise<void>((resolve, reject) => {
    ws.once("open", resolve);
    ws.once("error", reject);
  });
  return { ws, closed };
}

const open = (stream: number): string => JSON.stringify({ type: "stream.open", stream, meta: {} });
const data = (stream: number, size: number): Uint8Array =>
  encodeFrame({ type: "data", stream, payload: Buffer.alloc(size) });
const window = (stream: number): Uint8Array[] =>
  Array.from({ length: limits.streamWindow / limits.frameBytes }, () => data(stream, limits.frameBytes));

/** What a hostile dialler sends → the close code it gets. */
const attacks: Record<string, { send: (string | Uint8Array)[]; code: number }> = {
  "text that is no JSON": { send: ["{"], code: 4400 },
  "an empty message": { send: [""], code: 4400 },
  "a frame too short": { send: [Buffer.alloc(3)], code: 4400 },
  "an unknown frame type": { send: [Buffer.from([9, 0, 0, 0, 1])], code: 4400 },
  "a frame too large": {
    send: [open(1), Buffer.concat([data(1, limits.frameBytes), Buffer.alloc(1)])],
    code: 1009,
  },
  "a message too large": { send: ["x".repeat(limits.messageBytes + 1)], code: 1009 },
  "a million brackets": { send: ["[".repeat(1_000_000)], code: 4400 },
  "data for a stream nobody opened": { send: [data(1, 1)], code: 4400 },
  "data for a stream of the hub's": { send: [data(2, 1)], code: 4400 },
  "an end for a stream of the hub's": { send: [encodeFrame({ type: "end", stream: 2 })], code: 4400 },
  "done for its own stream": { send: [open(1), encodeFrame({ type: "done", stream: 1 })], code: 4400 },
  "data on a stream that ended": {
    send: [open(1), encodeFrame({ type: "end", stream: 1 }), data(1, 1)],
    code: 4400,
  },
  "two ends": {
    send: [open(1), ...[1, 1].map((stream) => encodeFrame({ type: "end", stream }))],
    code: 4400,
  },
  "more than the window": { send: [open(1), ...window(1), data(1, 1)], code: 4400 },
  "an id used twice": { send: [open(1), open(1)], code: 4400 },
  "an id that goes back": { send: [open(5), open(3)], code: 4400 },
  "an even id": { send: [open(2)], code: 4400 },
  "credit for its own stream": {
    send: [open(1), encodeFrame({ type: "credit", stream: 1, bytes: 1 })],
    code: 4400,
  },
  "credit above what was sent": { send: [encodeFrame({ type: "credit", stream: 2, bytes: 1 })], code: 4400 },
  "done before the end": { send: [encodeFrame({ type: "done", stream: 2 })], code: 4400 },
  "a reset of a stream nobody opened": {
    send: [encodeFrame({ type: "reset", stream: 7, error: new SallyportError("cancelled", "x") })],
    code: 4400,
  },
  "a reset that is no JSON": { send: [open(1), Buffer.from([4, 0, 0, 0, 1, 0x7b])], code: 4400 },
  "a reset that is no error": { send: [open(1), Buffer.from([4, 0, 0, 0, 1, 0x7b, 0x7d])], code: 4400 },
  "too many streams": {
    send: Array.from({ length: limits.streams + 1 }, (_, n) => open(2 * n + 1)),
    code: 4400,
  },
};

for (const [what, attack] of Object.entries(attacks)) {
  test(`${what}: closed with ${attack.code}, typed on the hub's side`, async () => {
    await using hub = await startHub({
      onChannel: (channel) => {
        channel.listen(deaf);
        channel.open({});
      },
    });
    const { ws, closed } = await rawDialler(hub);
    for (const message of attack.send) ws.send(message);
    const channel = await hub.accepted.promise;
    const code = attack.code === 1009 ? "frame_too_large" : "protocol_violation";
    assert.equal((await soon(channel.closed, "the hub's end")).code, code);
    const close = await soon(closed, "the attacker's end");
    assert.equal(close.code, attack.code);
    assert.ok(Buffer.byteLength(close.reason) <= 123);
  });
}

test("compression is never agreed on", async () => {
  await using hub = await startHub();
  const { ws } = await rawDialler(hub);
  assert.equal(ws.extensions, "");
  ws.terminate();
});

test("a message in thousands of fragments, empty ones included, is refused and costs nothing", async () => {
  await using hub = await startHub({ onChannel: (channel) => channel.listen(deaf) });
  const { ws, closed } = await rawDialler(hub);
  for (let n = 0; n < 5_000; n += 1) ws.send(n % 2 === 0 ? "" : "x", { fin: false });
  const channel = await hub.accepted.promise;
  assert.equal((await soon(channel.closed, "the hub's end")).code, "protocol_violation");
  assert.equal((await soon(closed, "the attacker's end")).code, 1008);
});

test("a flood of pings from someone who reads nothing does not fill memory", async () => {
  await using hub = await startHub({
    onChannel: (channel) => channel.listen(deaf),
    keepalive: { pingMs: 100, silenceMs: 400 },
  });
  const { ws } = await rawDialler(hub);
  const channel = await hub.accepted.promise;
  ws.pause();
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 200_000 && hub.acceptor.size > 0; n += 1) {
    ws.ping(Buffer.alloc(100));
    if (n % 1_000 === 0) await new Promise((resolve) => void setImmediate(resolve));
  }
  ws.terminate();
  await soon(channel.closed, "the hub's end");
  assert.ok(process.memoryUsage().rss - before < 200 * 2 ** 20);
});

test("a far end that makes the hub answer but reads nothing is cut off", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect, {
    keepalive: { pingMs: 60_000, silenceMs: 600_000 },
  });
  a.listen(deaf);
  link.stall();
  const pad = "x".repeat(2 ** 20);
  for (let n = 0; n < 64; n += 1) a.send({ type: "answer", pad });
  assert.equal((await soon(a.closed, "a")).code, "channel_closed");
  b.abort(new SallyportError("cancelled", "test over"));
});

test("who says more than is dealt with has to wait, and nothing of it is lost", async () => {
  const { a, b } = memoryChannelPair(dialect, dialect);
  await using _pair = a;
  const dealtWith = deferred<void>();
  const taken: unknown[] = [];
  const all = deferred<void>();
  const total = 20_000;
  b.listen({
    message({ n }) {
      taken.push(n);
      if (taken.length === total) all.resolve();
      return dealtWith.promise;
    },
    stream: nothing,
  });
  for (let n = 0; n < total; n += 1) a.send({ type: "note", n });
  for (let turn = 0; turn < 1_000; turn += 1) await new Promise((resolve) => void setImmediate(resolve));
  assert.equal(taken.length, 256);
  dealtWith.resolve();
  await soon(all.promise, "the rest");
  assert.deepEqual(
    taken,
    Array.from({ length: total }, (_, n) => n),
  );
});

test("a flood of large messages is not read before those that came are dealt with", async () => {
  const dealtWith = deferred<void>();
  let taken = 0;
  const full = deferred<void>();
  await using hub = await startHub({
    onChannel: (channel) =>
      channel.listen({
        message() {
          taken += 1;
          if (taken === 8) full.resolve();
          return dealtWith.promise;
        },
        stream: nothing,
      }),
  });
  const { ws } = await rawDialler(hub);
  const note = JSON.stringify({ type: "note", pad: "x".repeat(2 ** 20) });
  for (let n = 0; n < 64; n += 1) ws.send(note);
  await soon(full.promise, "what may wait");
  for (let turn = 0; turn < 5_000; turn += 1) await new Promise((resolve) => void setImmediate(resolve));
  assert.ok(taken < 10, `${taken} messages`);
  ws.terminate();
});

test("many tiny data frames cost little more than their bytes", async () => {
  const { a, b } = memoryChannelPair(dialect, dialect);
  const incoming = deferred<IncomingStream<Json>>();
  b.listen({ message: nothing, stream: (stream) => incoming.resolve(stream) });
  a.listen(deaf);
  const stream = a.open({});
  for (let n = 0; n < 20_000; n += 1) {
    await stream.write(Buffer.from([n & 0xff]));
    if (n % 50 === 0) await new Promise((resolve) => void setImmediate(resolve));
  }
  stream.end();
  const far = await incoming.promise;
  let chunks = 0;
  let bytes = 0;
  for await (const chunk of far.chunks) {
    for (const byte of chunk) assert.equal(byte, bytes++ & 0xff);
    chunks += 1;
  }
  assert.equal(bytes, 20_000);
  assert.ok(chunks < 100, `${chunks} chunks`);
  await a[Symbol.asyncDispose]();
});
