/** What any channel promises, run over memory and over a real WebSocket on loopback. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { suite, test } from "node:test";
import { deferred, Notifier, withDeadline } from "../../src/async/index.ts";
import {
  ChannelAcceptor,
  dialChannel,
  memoryChannelPair,
  type Channel,
  type Dialect,
  type IncomingStream,
} from "../../src/channel/index.ts";
import { isError, SallyportError, type ErrorCode } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { limits } from "../../src/protocol/index.ts";

interface Note {
  type: "note";
  n: number;
  pad?: string;
}
interface Meta {
  name: string;
}
type NoteChannel = Channel<Note, Note, Meta, Meta>;

interface Pair extends AsyncDisposable {
  /** the dialler */
  a: NoteChannel;
  b: NoteChannel;
}

const dialect: Dialect<Note, Meta> = {
  message(json) {
    const { type, n } = json as Note;
    if (type !== "note")
      throw new SallyportError("protocol_violation", `message: unknown type ${String(type)}`);
    return { type, n };
  },
  stream(json) {
    if (json === null) throw new SallyportError("protocol_violation", "stream.open: meta: missing");
    return { name: (json as Meta).name };
  },
};

function memory(): Promise<Pair> {
  const { a, b } = memoryChannelPair(dialect, dialect);
  return Promise.resolve({ a, b, [Symbol.asyncDispose]: () => closeBoth(a, b) });
}

async function overWs(): Promise<Pair> {
  const server = createServer();
  const accepted = deferred<NoteChannel>();
  const acceptor = new ChannelAcceptor<null, Note, Note, Meta, Meta>({
    server,
    dialect,
    log: silentLog(),
    authorize: () => Promise.resolve(null),
    onChannel: (channel) => accepted.resolve(channel),
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const a = await dialChannel<Note, Note, Meta, Meta>({
    url: `http://127.0.0.1:${port}`,
    token: "secret",
    dialect,
    log: silentLog(),
  });
  const b = await accepted.promise;
  return {
    a,
    b,
    async [Symbol.asyncDispose]() {
      await closeBoth(a, b);
      await acceptor[Symbol.asyncDispose]();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

async function closeBoth(a: NoteChannel, b: NoteChannel): Promise<void> {
  await a[Symbol.asyncDispose]();
  await b[Symbol.asyncDispose]();
}

const refusedMessages: Record<string, unknown> = {
  "an unknown message": { type: "unheard-of" },
  "a message without a type": { n: 1 },
  "a message that is no object": [],
  "a message nested too deep": { type: "note", n: 1, deep: nested(100) },
  "a stream this side may not open": { type: "stream.open", stream: 2, meta: { name: "x" } },
  "a stream beyond the last id": { type: "stream.open", stream: 2 ** 32 + 1, meta: { name: "x" } },
  "a stream whose id is no number": { type: "stream.open", stream: "1", meta: { name: "x" } },
  "a stream without a description": { type: "stream.open", stream: 1 },
};

function nested(depth: number): unknown {
  return depth === 0 ? 0 : [nested(depth - 1)];
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const soon = <T>(promise: Promise<T>, what: string): Promise<T> => withDeadline(promise, 10_000, what);
const gone = (message: string): SallyportError => new SallyportError("cancelled", message);
const coded =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isError(error, code);

/** One side's listener: keeps what comes, answers a note below zero with its opposite. */
class Ear {
  readonly notes: number[] = [];
  readonly streams: IncomingStream<Meta>[] = [];
  readonly #came = new Notifier();

  constructor(channel: NoteChannel) {
    channel.listen({
      message: (note) => {
        if (note.n < 0) channel.send({ type: "note", n: -note.n });
        else this.notes.push(note.n);
        this.#came.notify();
      },
      stream: (stream) => {
        this.streams.push(stream);
        this.#came.notify();
      },
    });
  }

  async until(holds: (ear: Ear) => boolean, what: string): Promise<void> {
    for (let came = this.#came.wait(); !holds(this); came = this.#came.wait()) await soon(came, what);
  }

  async stream(at = 0): Promise<IncomingStream<Meta>> {
    await this.until((ear) => ear.streams.length > at, `stream ${at}`);
    return this.streams[at] as IncomingStream<Meta>;
  }
}

/** Both sides listen. `settled` resolves once all that was sent before has been taken, and proves the channel alive. */
function listening(pair: Pair): { nearEar: Ear; farEar: Ear; settled: () => Promise<void> } {
  const [nearEar, farEar] = [new Ear(pair.a), new Ear(pair.b)];
  let turns = 1_000_000;
  const settled = async (): Promise<void> => {
    turns += 2;
    const [there, back] = [turns, turns + 1];
    pair.a.send({ type: "note", n: -there });
    await nearEar.until((ear) => ear.notes.includes(there), "an answer");
    pair.b.send({ type: "note", n: -back });
    await farEar.until((ear) => ear.notes.includes(back), "an answer");
  };
  return { nearEar, farEar, settled };
}

async function readAll(stream: IncomingStream<Meta>, grants = true): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream.chunks) {
    chunks.push(chunk);
    if (grants) stream.grant(chunk.length);
  }
  return Buffer.concat(chunks);
}

for (const [name, connect] of [
  ["memory", memory],
  ["ws", overWs],
] as const) {
  suite(`channel over ${name}`, () => {
    test("messages arrive in order, those sent before anyone listened included", async () => {
      await using pair = await connect();
      for (let n = 0; n < 500; n += 1) pair.a.send({ type: "note", n });
      await new Promise((resolve) => void setTimeout(resolve, 20));
      const ear = new Ear(pair.b);
      for (let n = 500; n < 1_000; n += 1) pair.a.send({ type: "note", n });
      await ear.until((ear) => ear.notes.length >= 1_000, "all messages");
      const expected = Array.from({ length: 1_000 }, (_, n) => n);
      assert.deepEqual(ear.notes, expected);
    });

    test("bulk arrives byte for byte in both directions at once", async () => {
      await using pair = await connect();
      const { nearEar, farEar } = listening(pair);
      const size = 24 * 2 ** 20 + 17;
      const bytes = randomBytes(size);
      const transfer = async (from: NoteChannel, to: Ear): Promise<string> => {
        const stream = from.open({ name: "bulk" });
        const sent = (async () => {
          for (let at = 0, step = 1; at < size; at += step, step = (step * 7 + 1) % 300_001) {
            await stream.write(bytes.subarray(at, at + step));
          }
          stream.end();
        })();
        const incoming = await to.stream();
        assert.equal(incoming.meta.name, "bulk");
        const all = await readAll(incoming);
        incoming.finish();
        await soon(Promise.all([sent, stream.finished]), "the end");
        assert.equal(stream.granted, size);
        return sha256(all);
      };
      const hashes = await Promise.all([transfer(pair.a, farEar), transfer(pair.b, nearEar)]);
      assert.deepEqual(hashes, [sha256(bytes), sha256(bytes)]);
    });

    test("a stream nobody reads takes one window and no more; messages and other streams pass it", async () => {
      await using pair = await connect();
      const { farEar } = listening(pair);
      const stalled = pair.a.open({ name: "stalled" });
      const piece = Buffer.alloc(64 * 2 ** 10);
      let admitted = 0;
      const queued = Array.from({ length: 1_600 }, () =>
        stalled.write(piece).then(
          () => (admitted += piece.length),
          (error: unknown) => error,
        ),
      );
      pair.a.send({ type: "note", n: 7 });
      await farEar.until((ear) => ear.notes.includes(7), "a message behind 100 MB of data");

      const free = pair.a.open({ name: "free" });
      const writing = free.write(Buffer.alloc(3 * limits.streamWindow, 1)).then(() => free.end());
      const second = await farEar.stream(1);
      assert.equal((await soon(readAll(second), "the free stream")).length, 3 * limits.streamWindow);
      second.finish();
      await soon(Promise.all([writing, free.finished]), "the free stream's end");
      assert.equal(admitted, limits.streamWindow);
      assert.equal(stalled.granted, 0);
      stalled.reset(gone("test over"));
      const refused = (await Promise.all(queued)).filter((error) => isError(error, "stream_reset"));
      assert.equal(refused.length, 1_600 - limits.streamWindow / piece.length);
    });

    test("a grant tells the sender how much is done with, and lets as much more in", async () => {
      await using pair = await connect();
      const { farEar, settled } = listening(pair);
      const stream = pair.a.open({ name: "window" });
      const granted: number[] = [];
      stream.onGrant((bytes) => granted.push(bytes));
      await stream.write(Buffer.alloc(limits.streamWindow));
      let more = false;
      const blocked = stream.write(Buffer.alloc(100)).then(() => (more = true));
      const far = await farEar.stream();
      await settled();
      assert.equal(more, false);
      far.grant(60);
      far.grant(40);
      await soon(blocked, "the grant");
      await settled();
      assert.deepEqual(granted, [60, 100]);
      assert.equal(stream.granted, 100);
    });

    test("the receiver's reset reaches the sender; what was still under way is no error", async () => {
      await using pair = await connect();
      const { farEar, settled } = listening(pair);
      const stream = pair.a.open({ name: "refused" });
      const refused = assert.rejects(stream.write(Buffer.alloc(4 * limits.streamWindow)), (error) => {
        assert.ok(isError(error, "stream_reset"));
        assert.ok(isError(error.cause, "lease_superseded"));
        return true;
      });
      const far = await farEar.stream();
      far.reset(new SallyportError("lease_superseded", "another attempt owns it"));
      await soon(refused, "the write");
      await assert.rejects(stream.finished, coded("stream_reset"));
      await assert.rejects(stream.write(Buffer.alloc(1)), coded("stream_reset"));
      await assert.rejects(readAll(far), coded("stream_reset"));
      await settled();
    });

    test("the sender's reset reaches the reader", async () => {
      await using pair = await connect();
      const { farEar, settled } = listening(pair);
      const stream = pair.a.open({ name: "given up" });
      await stream.write(Buffer.alloc(10));
      const far = await farEar.stream();
      const refused = assert.rejects(readAll(far), (error) => {
        assert.ok(isError(error, "stream_reset"));
        assert.ok(isError(error.cause, "cancelled"));
        return true;
      });
      stream.reset(gone("no more"));
      stream.reset(gone("twice is once"));
      await soon(refused, "the reader");
      far.grant(10);
      far.finish();
      await settled();
    });

    test("resets that cross, and a reset that crosses a finish, leave the channel alive", async () => {
      await using pair = await connect();
      const { farEar, settled } = listening(pair);
      const crossing = pair.a.open({ name: "crossing" });
      const finished = pair.a.open({ name: "finished" });
      finished.end();
      const [far, ending] = [await farEar.stream(0), await farEar.stream(1)];
      await readAll(ending);
      crossing.reset(gone("from here"));
      far.reset(gone("from there"));
      finished.reset(gone("from here"));
      ending.finish();
      await settled();
      await settled();
    });

    test("finishing before the end, granting what never came and writing after the end are refused here", async () => {
      await using pair = await connect();
      const { farEar, settled } = listening(pair);
      const stream = pair.a.open({ name: "misuse" });
      await stream.write(Buffer.alloc(10));
      const far = await farEar.stream();
      await settled();
      assert.throws(() => far.finish(), coded("internal"));
      assert.throws(() => far.grant(11), coded("internal"));
      assert.throws(() => far.grant(-1), coded("internal"));
      stream.end();
      await assert.rejects(stream.write(Buffer.alloc(1)), coded("internal"));
      await settled();
    });

    for (const closer of ["dialler", "acceptor"] as const) {
      test(`the ${closer}'s close says why, after every message; everything settles once`, async () => {
        await using pair = await connect();
        const [near, far] = closer === "dialler" ? [pair.a, pair.b] : [pair.b, pair.a];
        const { nearEar, farEar, settled } = listening(pair);
        const ear = closer === "dialler" ? farEar : nearEar;
        const stream = near.open({ name: "cut short" });
        const writing = stream.write(Buffer.alloc(3 * limits.streamWindow));
        const refused = [
          assert.rejects(writing, coded("channel_closed")),
          assert.rejects(stream.finished, coded("channel_closed")),
          assert.rejects(readAll(await ear.stream(), false), coded("channel_closed")),
        ];
        await settled();
        ear.notes.length = 0;
        for (let n = 0; n < 100; n += 1) near.send({ type: "note", n });
        await soon(near.close(new SallyportError("hub_draining", "the hub leaves")), "close");
        const told = await soon(far.closed, "the far end's closed");
        assert.equal(told.code, "hub_draining");
        assert.equal(told.message, "the hub leaves");
        assert.equal((await near.closed).code, "hub_draining");
        assert.equal(ear.notes.length, 100);
        await soon(Promise.all(refused), "what waited");
        await near.close(gone("again"));
        near.send({ type: "note", n: 1 });
        assert.throws(() => near.open({ name: "late" }), coded("channel_closed"));
        assert.throws(() => far.open({ name: "late" }), coded("channel_closed"));
      });

      test(`the ${closer}'s abort ends both sides without a word`, async () => {
        await using pair = await connect();
        const [near, far] = closer === "dialler" ? [pair.a, pair.b] : [pair.b, pair.a];
        listening(pair);
        const stream = near.open({ name: "cut" });
        near.abort(gone("pulled the plug"));
        assert.equal((await soon(near.closed, "near closed")).code, "cancelled");
        assert.equal((await soon(far.closed, "far closed")).code, "channel_closed");
        await assert.rejects(stream.finished, coded("channel_closed"));
      });
    }

    test("a reader whose stream had ended gets all of it although the channel is over", async () => {
      await using pair = await connect();
      const { farEar, settled } = listening(pair);
      const stream = pair.a.open({ name: "whole" });
      await stream.write(Buffer.alloc(500_000, 1));
      stream.end();
      const far = await farEar.stream();
      await settled();
      pair.b.abort(gone("over"));
      assert.equal((await readAll(far)).length, 500_000);
    });

    test("a handler that throws closes the channel with its error", async () => {
      await using pair = await connect();
      pair.b.listen({
        message: () => {
          throw new SallyportError("protocol_unsupported", "no common version");
        },
        stream: () => undefined,
      });
      pair.a.send({ type: "note", n: 1 });
      assert.equal((await soon(pair.a.closed, "a")).code, "protocol_unsupported");
      assert.equal((await soon(pair.b.closed, "b")).code, "protocol_unsupported");
    });

    for (const [what, sent] of Object.entries(refusedMessages)) {
      test(`${what} ends the channel on both sides with protocol_violation`, async () => {
        await using pair = await connect();
        pair.a.send(sent as Note);
        assert.equal((await soon(pair.b.closed, "b")).code, "protocol_violation");
        assert.equal((await soon(pair.a.closed, "a")).code, "protocol_violation");
      });
    }

    test("a message too large to be taken is refused before it is sent", async () => {
      await using pair = await connect();
      const { settled } = listening(pair);
      const pad = "x".repeat(limits.messageBytes);
      assert.throws(() => pair.a.send({ type: "note", n: 1, pad }), coded("frame_too_large"));
      await settled();
    });

    test("a stream goes on once the messages that filled the connection have left", async () => {
      await using pair = await connect();
      const { farEar } = listening(pair);
      const stream = pair.a.open({ name: "behind" });
      const pad = "x".repeat(limits.messageBytes / 2);
      for (let sent = 0; sent < 16 * 2 ** 20; sent += pad.length) pair.a.send({ type: "note", n: 1, pad });
      stream.end();
      const read = await soon(readAll(await farEar.stream()), "the stream's end");
      assert.equal(read.length, 0);
    });

    test("no more streams are opened than the far end takes, and finished ones make room", async () => {
      await using pair = await connect();
      const { farEar, settled } = listening(pair);
      const streams = Array.from({ length: limits.streams }, () => pair.a.open({ name: "many" }));
      assert.throws(() => pair.a.open({ name: "one too many" }), coded("capacity_exhausted"));
      streams[0]?.end();
      const first = await farEar.stream();
      await readAll(first);
      first.finish();
      await soon(streams[0]?.finished as Promise<void>, "the first stream");
      streams[1]?.reset(gone("room"));
      await settled();
      await settled();
      streams.push(pair.a.open({ name: "again" }), pair.a.open({ name: "and again" }));
      await settled();
      assert.equal(new Set(streams.map((stream) => stream.id)).size, limits.streams + 2);
    });
  });
}
