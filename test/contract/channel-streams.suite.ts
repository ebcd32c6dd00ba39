/** What the messages and streams of any channel promise. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { isError, SallyportError } from "../../src/errors.ts";
import { limits } from "../../src/protocol/index.ts";
import { coded, soon } from "../helpers/channel-checks.ts";
import { Ear, gone, listening, readAll, type NoteChannel, type Pair } from "../helpers/note-channel.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export function channelStreams(connect: () => Promise<Pair>): void {
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
}
