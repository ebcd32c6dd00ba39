/** How channels of a hub begin and end: nothing is lost, left behind or told that must not be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import { coded, soon } from "../helpers/channel-checks.ts";
import { deaf, dial, nothing, startHub, type Json } from "../helpers/channel-hub.ts";

test("a message sent in the very turn the channel opens is not lost", async () => {
  await using hub = await startHub({ onChannel: (channel) => channel.send({ type: "first" }) });
  for (let round = 0; round < 20; round += 1) {
    const channel = await dial(hub.url);
    const got = deferred<Json>();
    channel.listen({ message: (message) => got.resolve(message), stream: nothing });
    assert.deepEqual(await soon(got.promise, "the first message"), { type: "first" });
    await channel[Symbol.asyncDispose]();
  }
});

test("an owner that throws closes the channel with internal", async () => {
  await using hub = await startHub({
    onChannel: () => {
      throw new TypeError("boom");
    },
  });
  const channel = await dial(hub.url);
  assert.equal((await soon(channel.closed, "the channel")).code, "internal");
});

test("disposing the acceptor closes every channel with shutting_down and takes no further caller", async () => {
  const hub = await startHub();
  const channels = await Promise.all([dial(hub.url), dial(hub.url)]);
  assert.equal(hub.acceptor.size, 2);
  await hub[Symbol.asyncDispose]();
  for (const channel of channels) assert.equal((await soon(channel.closed, "it")).code, "shutting_down");
  assert.equal(hub.acceptor.size, 0);
  assert.equal(hub.server.listenerCount("upgrade"), 0);
});

test("after close no timer or socket of a channel is left", async () => {
  const hub = await startHub();
  const channel = await dial(hub.url);
  const far = await hub.accepted.promise;
  channel.listen(deaf);
  far.listen(deaf);
  await channel.close(new SallyportError("shutting_down", "done"));
  await soon(far.closed, "the far end");
  await hub[Symbol.asyncDispose]();
  await new Promise((resolve) => void setImmediate(resolve));
  const left = process.getActiveResourcesInfo().filter((name) => /Timeout|TCPSocket|Immediate/.test(name));
  assert.deepEqual(left, []);
});

test("no log line holds the token", async () => {
  let lines = "";
  const log = createLog({ level: "trace", destination: { write: (line) => (lines += line) } });
  await using hub = await startHub({
    log,
    authorize: (request) => {
      if (request.headers.authorization === "Bearer hunter2hunter2") return Promise.resolve("worker");
      throw new SallyportError("unauthenticated", "unknown token");
    },
  });
  await assert.rejects(dial(hub.url, { token: "wrong-hunter2", log }), coded("unauthenticated"));
  const channel = await dial(hub.url, { token: "hunter2hunter2", log });
  await channel.close(new SallyportError("shutting_down", "done"));
  assert.match(lines, /channel refused/);
  assert.doesNotMatch(lines, /hunter2/);
});
