import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex, duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError } from "../../../../src/errors.ts";
import type { Guest, GuestSocket } from "../../../../src/sandbox/contract.ts";
import {
  connectGuest,
  encodeFrame,
  FrameDecoder,
  guestFrames,
  hostFrames,
  type Frame,
} from "../../../../src/sandbox/guest/index.ts";

const own = 0x8000_0000;
const windowBytes = 128 * 1024;

interface Scripted extends Disposable {
  guest: Guest;
  /** What the host said */
  said: Frame[];
  /** The host's sockets, as they came */
  sockets: GuestSocket[];
  /** Plays the guest's side */
  say: (type: number, id: number, payload?: Buffer) => void;
  turn: () => Promise<void>;
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 0xff);

/** Frames of the host, of which the codec of the guest's frames knows only the layout. */
function readHost(far: Duplex, said: Frame[]): void {
  let rest = Buffer.alloc(0);
  far.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUInt32BE(5)) {
      const length = rest.readUInt32BE(5);
      said.push({ type: rest[0] ?? 0, id: rest.readUInt32BE(1), payload: rest.subarray(9, 9 + length) });
      rest = rest.subarray(9 + length);
    }
  });
}

/** A guest of the test's own making that listens at 443 under the host's call 1. */
async function scripted(): Promise<Scripted> {
  const [link, far] = duplexPair();
  const said: Frame[] = [];
  const sockets: GuestSocket[] = [];
  far.on("error", () => undefined);
  readHost(far, said);
  const say = (type: number, id: number, payload?: Buffer): void =>
    void (far.destroyed || far.write(encodeFrame(type, id, payload)));
  say(guestFrames.hello, 0, Buffer.from("000100000001", "hex"));
  const guest = await connectGuest({ stream: link, diagnostics: () => "" });
  const listening = guest.listen([443], (socket) => sockets.push(socket));
  say(guestFrames.done, 1);
  await listening;
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));
  return { guest, said, sockets, say, turn, [Symbol.dispose]: () => guest.close() };
}

/** The same with one connection accepted. */
async function accepted(): Promise<Scripted & { socket: GuestSocket }> {
  const parts = await scripted();
  parts.say(guestFrames.accepted, own, u16(443));
  await parts.turn();
  const [socket] = parts.sockets;
  assert.ok(socket !== undefined);
  return { ...parts, socket };
}

const count = (said: Frame[], type: number, id = own): number =>
  said.filter((frame) => frame.type === type && frame.id === id).length;

const breaches: Record<string, (parts: Scripted) => void> = {
  "a connection under an id of the host's": ({ say }) => say(guestFrames.accepted, 2, u16(443)),
  "a connection under an id that was used": ({ say }) => say(guestFrames.accepted, own, u16(443)),
  "a connection at a port nobody listens at": ({ say }) => say(guestFrames.accepted, own + 1, u16(80)),
  "a stream that was never opened": ({ say }) => say(guestFrames.data, own + 1, Buffer.of(1)),
  "bytes after the program's end": ({ say }) => {
    say(guestFrames.end, own);
    say(guestFrames.data, own, Buffer.of(1));
  },
  "a second end": ({ say }) => {
    say(guestFrames.end, own);
    say(guestFrames.end, own);
  },
  "more bytes than it had credit for": ({ say }) => {
    for (let i = 0; i < 3; i++) say(guestFrames.data, own, Buffer.alloc(60_000));
  },
  "more tiny frames than it had credit for": ({ say }) => {
    for (let i = 0; i < 600; i++) say(guestFrames.data, own, Buffer.of(1));
  },
  "credit for bytes it was never sent": ({ say }) => say(guestFrames.credit, own, u32(1)),
  "a stream closed as if both sides had ended": ({ say }) => say(guestFrames.closed, own, u32(0)),
  "a stream that speaks after it closed": ({ say }) => {
    say(guestFrames.closed, own, u32(104));
    say(guestFrames.end, own);
  },
  "the output of an exec on a stream": ({ say }) => say(guestFrames.stdout, own, Buffer.of(1)),
  "an answer to a call on a stream": ({ say }) => say(guestFrames.done, own),
  "a connected nobody asked for": ({ say }) => say(guestFrames.connected, own),
  "more connections than may be open": ({ say }) => {
    for (let i = 1; i < 257; i++) say(guestFrames.accepted, own + i, u16(443));
  },
};

for (const [name, commit] of Object.entries(breaches)) {
  test(`the conversation ends with guest_violation on ${name}`, async () => {
    using parts = await accepted();
    const failed = once(parts.socket, "error");
    commit(parts);
    assert.ok(isError(await parts.guest.closed, "guest_violation"));
    const [error] = await failed;
    assert.ok(isError(error, "guest_violation", "stream_reset"));
    for (const socket of parts.sockets) assert.ok(socket.destroyed);
  });
}

test("a connection before anybody listens is a breach", async () => {
  const [link, far] = duplexPair();
  far.resume();
  far.write(encodeFrame(guestFrames.hello, 0, Buffer.from("000100000001", "hex")));
  const guest = await connectGuest({ stream: link, diagnostics: () => "" });
  far.write(encodeFrame(guestFrames.accepted, own, u16(443)));
  assert.ok(isError(await guest.closed, "guest_violation"));
});

test("what comes in one chunk with the answer to listen finds its listener", async () => {
  const [link, far] = duplexPair();
  far.resume();
  far.write(encodeFrame(guestFrames.hello, 0, Buffer.from("000100000001", "hex")));
  const guest = await connectGuest({ stream: link, diagnostics: () => "" });
  const arrived = Promise.withResolvers<GuestSocket>();
  const listening = guest.listen([443], arrived.resolve);
  const frames = [
    encodeFrame(guestFrames.done, 1),
    encodeFrame(guestFrames.accepted, own, u16(443)),
    encodeFrame(guestFrames.data, own, Buffer.from("early")),
    encodeFrame(guestFrames.end, own),
  ];
  far.write(Buffer.concat(frames));
  await listening;
  assert.equal(await text(await arrived.promise), "early");
  guest.close();
});

test("a listen that fails names its port; one that names none is a breach", async () => {
  using parts = await scripted();
  const asked = parts.guest.listen([80, 3128], () => undefined);
  parts.say(guestFrames.failed, 2, Buffer.from([1, 0, 0, 0, 98]));
  await assert.rejects(
    asked,
    (error) => isError(error, "capacity_exhausted") && error.details["port"] === 3128,
  );
  const again = parts.guest.listen([80], () => undefined);
  parts.say(guestFrames.failed, 3, Buffer.from([1, 0, 0, 0, 98]));
  await assert.rejects(again, (error) => isError(error, "guest_violation"));
});

test("a connect that is refused, and one that is reset before anybody looks", async () => {
  using parts = await scripted();
  const refused = parts.guest.connect(8080);
  parts.say(guestFrames.failed, 2, Buffer.from([0, 0, 0, 0, 111]));
  await assert.rejects(refused, (error) => isError(error, "upstream_unreachable"));
  const reset = parts.guest.connect(8080);
  parts.say(guestFrames.connected, 3);
  parts.say(guestFrames.closed, 3, u32(104));
  const socket = await reset;
  await parts.turn();
  assert.ok(socket.destroyed && isError(socket.errored, "stream_reset"));
});

test("credit comes back only as the socket is read", async () => {
  using parts = await accepted();
  const { socket, say, said, turn } = parts;
  for (let i = 0; i < 2; i++) say(guestFrames.data, own, Buffer.alloc(60_000));
  await turn();
  assert.equal(count(said, hostFrames.credit), 0);
  socket.resume();
  await turn();
  assert.equal(count(said, hostFrames.credit), 1);
});

test("a small frame that waits does not keep the chunk it came in", async () => {
  using parts = await accepted();
  const { socket, say, turn } = parts;
  say(guestFrames.data, own, Buffer.from("small"));
  await turn();
  const waiting = socket.read() as Buffer;
  assert.equal(waiting.toString(), "small");
  assert.ok(waiting.buffer.byteLength <= Buffer.poolSize);
});

test("writes stop at the window and go on with credit", async () => {
  using parts = await accepted();
  const { socket, say, said, turn } = parts;
  let finished = false;
  socket.end(Buffer.alloc(200_000), () => (finished = true));
  await turn();
  const sent = (): number =>
    said.filter(({ type }) => type === hostFrames.data).reduce((sum, { payload }) => sum + payload.length, 0);
  assert.equal(sent(), windowBytes);
  say(guestFrames.credit, own, u32(windowBytes));
  await turn();
  assert.ok(finished);
  assert.equal(sent(), 200_000);
  assert.equal(said.at(-1)?.type, hostFrames.end);
});

const partings: Record<string, { act: (socket: GuestSocket) => void; how: number }> = {
  "destroy is a reset": { act: (socket) => void socket.destroy(), how: 1 },
  "destroy with bytes unsent is a reset": {
    act: (socket) => {
      socket.end(Buffer.alloc(200_000));
      socket.destroy();
    },
    how: 1,
  },
  "an error after the end is a reset": {
    act: (socket) => void socket.end(() => socket.destroy(new Error("no"))),
    how: 1,
  },
  "destroy after the end lets all arrive": {
    act: (socket) => void socket.end("all", () => socket.destroy()),
    how: 0,
  },
};

for (const [name, { act, how }] of Object.entries(partings)) {
  test(`${name}, said once, and what crosses it is let go`, async () => {
    using parts = await accepted();
    const { socket, say, said, turn, guest } = parts;
    act(socket);
    say(guestFrames.data, own, Buffer.from("crossed"));
    await turn();
    say(guestFrames.end, own);
    say(guestFrames.closed, own, u32(how === 0 ? 0 : 125));
    await turn();
    const closes = said.filter(({ type }) => type === hostFrames.close);
    assert.deepEqual(
      closes.map(({ id, payload }) => [id, [...payload]]),
      [[own, [how]]],
    );
    const alive = guest.files.mkdir("f");
    say(guestFrames.done, 2);
    await alive;
  });
}

test("a place is free once both sides said their last word, however often", async () => {
  using parts = await scripted();
  const { say, turn, sockets, guest } = parts;
  for (let i = 0; i < 1000; i++) {
    say(guestFrames.accepted, own + i, u16(443));
    say(guestFrames.closed, own + i, u32(104));
    if (i % 100 === 99) await turn();
  }
  assert.equal(sockets.length, 1000);
  assert.ok(sockets.every(({ destroyed }) => destroyed));
  const alive = guest.files.mkdir("f");
  say(guestFrames.done, 2);
  await alive;
});

test("any frames of a guest end at worst in one typed error, and every socket with it", async () => {
  const frame = fc.record({
    type: fc.constantFrom(...Object.values(guestFrames)),
    id: fc.constantFrom(0, 1, 2, own, own + 1, own + 2),
    payload: fc.constantFrom(Buffer.alloc(0), u16(443), u32(0), u32(104), Buffer.alloc(1000)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 12 }), async (frames) => {
      using parts = await scripted();
      for (const { type, id, payload } of frames) parts.say(type, id, payload);
      await new Promise(setImmediate);
      parts.guest.close();
      const outcome = await parts.guest.closed;
      assert.ok(outcome === undefined || isError(outcome, "guest_violation"));
      for (const socket of parts.sockets) assert.ok(socket.destroyed);
    }),
    { numRuns: 200 },
  );
});

test("frames of streams decode whole", () => {
  const seen: number[] = [];
  const decoder = new FrameDecoder(({ type }) => seen.push(type));
  decoder.push(encodeFrame(guestFrames.accepted, own, u16(1)));
  decoder.push(encodeFrame(guestFrames.closed, own, u32(0)));
  assert.deepEqual(seen, [guestFrames.accepted, guestFrames.closed]);
  assert.throws(() => decoder.push(encodeFrame(guestFrames.accepted, own, u32(1))));
});

test("a guest that opens and resets connections without end and reads nothing is a breach", async () => {
  const link = new Duplex({ read: () => undefined, write: () => undefined });
  const meeting = connectGuest({ stream: link, diagnostics: () => "" });
  link.push(encodeFrame(guestFrames.hello, 0, Buffer.from("000100000001", "hex")));
  const guest = await meeting;
  const listening = guest.listen([443], () => undefined);
  link.push(encodeFrame(guestFrames.done, 1));
  await listening;
  for (let id = own; !link.destroyed && id < own + 20_000; id += 1) {
    link.push(encodeFrame(guestFrames.accepted, id, u16(443)));
    link.push(encodeFrame(guestFrames.closed, id, u32(104)));
    await new Promise(setImmediate);
  }
  assert.ok(link.destroyed, "the host went on");
  assert.ok(isError(await guest.closed, "guest_violation"));
});
