/** What a channel does when its link stalls, slows down or breaks. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { dialChannel, memoryChannelPair } from "../../src/channel/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { limits } from "../../src/protocol/index.ts";
import { coded, soon } from "../helpers/channel-checks.ts";
import { deaf, dialect, type Json } from "../helpers/channel-hub.ts";

const quick = { pingMs: 20, silenceMs: 80 };

/** Several times as long as silence is borne */
async function staysUp(...ends: readonly { closed: Promise<unknown> }[]): Promise<void> {
  const up = new Promise((resolve) => setTimeout(resolve, 5 * quick.silenceMs, "up"));
  assert.equal(await Promise.race([...ends.map(({ closed }) => closed), up]), "up");
}

test("half open: silence ends both sides, what waited is told, and no timer is left", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect, { keepalive: quick });
  a.listen(deaf);
  b.listen(deaf);
  const stream = a.open({});
  const refused = assert.rejects(
    stream.write(Buffer.alloc(2 * limits.streamWindow)),
    coded("channel_closed"),
  );
  link.stall();
  assert.equal((await soon(a.closed, "a")).code, "channel_closed");
  assert.equal((await soon(b.closed, "b")).code, "channel_closed");
  await refused;
  assert.deepEqual(
    process.getActiveResourcesInfo().filter((name) => name === "Timeout" || name === "Immediate"),
    [],
  );
});

test("an idle channel stays up: answers to pings count as a sign of life", async () => {
  const { a, b } = memoryChannelPair(dialect, dialect, { keepalive: quick });
  a.listen(deaf);
  b.listen(deaf);
  await staysUp(a, b);
  await a[Symbol.asyncDispose]();
});

test("a slow link is not taken for a dead one", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect, { keepalive: quick });
  link.delay(30);
  a.listen(deaf);
  b.listen(deaf);
  await staysUp(a, b);
  link.delay(0);
  await a[Symbol.asyncDispose]();
});

test("a cut link ends both sides with channel_closed", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect);
  link.cut();
  assert.equal((await soon(a.closed, "a")).code, "channel_closed");
  assert.equal((await soon(b.closed, "b")).code, "channel_closed");
});

test("close does not wait for a far end that is gone", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect);
  link.stall();
  await soon(a.close(new SallyportError("shutting_down", "over")), "close");
  assert.equal((await a.closed).code, "shutting_down");
  b.abort(new SallyportError("cancelled", "test over"));
});

test("half open over TCP: a hub that falls silent is noticed by the dialler", async () => {
  const server = createServer();
  const wss = new WebSocketServer({ server, autoPong: false });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const channel = await dialChannel<Json, Json, Json, Json>({
    url: `ws://127.0.0.1:${port}`,
    token: "secret",
    dialect,
    log: silentLog(),
    keepalive: quick,
  });
  assert.equal((await soon(channel.closed, "the channel")).code, "channel_closed");
  wss.clients.forEach((client) => client.terminate());
  await new Promise((resolve) => void server.close(resolve));
});
