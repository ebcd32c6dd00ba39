/** How any channel ends, and what it refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SallyportError } from "../../src/errors.ts";
import { limits } from "../../src/protocol/index.ts";
import { coded, soon } from "../helpers/channel-checks.ts";
import { gone, listening, readAll, type Note, type Pair } from "../helpers/note-channel.ts";

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

export function channelClosing(connect: () => Promise<Pair>): void {
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
}
