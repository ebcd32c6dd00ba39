/** A stand-alone connector over the life of its hub. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { withDeadline } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { TunnelEnd } from "../../src/uplink/index.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { EchoTunnel, offered, readUntil, TestConnector } from "../helpers/tunnel.ts";

const docs = "docs.tunnel.example";

async function folder(stack: AsyncDisposableStack): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-connector-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const tokenOf = (hub: TestHub): Promise<string> =>
  hub.keys.addKey({ name: "rack", tenant: "default", weight: 1, scopes: ["connector"] });

test("comes back to a hub that was away, with its routes, and a call waits for the channel", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await folder(stack);
  const first = await TestHub.start({ dir });
  const token = await tokenOf(first);
  const offer = new EchoTunnel("a", [offered(docs)]);
  await using connector = await TestConnector.start({ url: first.url, token, offer });
  await using caller = await TestConnector.start({ url: first.url, token, connectorId: "caller" });
  await eventually(() => caller.end.routes().length === 1);
  await first[Symbol.asyncDispose]();
  assert.deepEqual(caller.end.routes(), [{ host: docs, name: "docs" }], "known routes outlive the channel");
  await using second = await TestHub.start({ dir });
  connector.url = second.url;
  await eventually(async () => (await second.call("/v1/routes")).text.includes(docs));
  const calling = caller.call(docs);
  caller.url = second.url;
  const stream = await calling;
  stream.write("hi.");
  assert.equal(await readUntil(stream, "hi."), "a:hi.");
  stream.destroy();
});

test("goes on over a new channel when its hub leaves, and finishes what the old one carries", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await folder(stack);
  const leaving = stack.use(await TestHub.start({ dir }));
  const token = await tokenOf(leaving);
  const other = stack.use(await TestHub.start({ dir: await folder(stack) }));
  const elsewhere = await tokenOf(other);
  let now = token;
  const offer = new EchoTunnel("a", [offered(docs)]);
  await using connector = await TestConnector.start({ url: leaving.url, token: () => now, offer });
  await using caller = await TestConnector.start({ url: leaving.url, token, connectorId: "caller" });
  const stream = await caller.call(docs);
  stream.write("1.");
  await readUntil(stream, "1.");
  connector.url = other.url;
  now = elsewhere;
  void leaving.hub.drain(5_000);
  await eventually(async () => (await other.call("/v1/routes")).text.includes(docs));
  stream.write("2.");
  assert.equal(await readUntil(stream, "2."), "2.");
  stream.end();
  const [old] = connector.channels;
  assert.ok(old !== undefined);
  await withDeadline(old.closed, 10_000, "the old channel's end");
});

test("a call without a hub fails within its bound, naming the layer", async () => {
  using end = new TunnelEnd({ log: silentLog() }, { reconnectMs: 10 });
  const call = end.open({ host: docs, requestId: "r1" }, new AbortController().signal);
  await assert.rejects(
    call,
    (error) => isError(error, "channel_closed") && error.details["layer"] === "edge",
  );
});

test("what changes between a hello and its welcome is told", async () => {
  await using hub = await TestHub.start();
  const token = await tokenOf(hub);
  const offer = new EchoTunnel("a", [offered(docs)]);
  const starting = TestConnector.start({ url: hub.url, token, offer });
  offer.set([offered("b.tunnel.example")]);
  await using _connector = await starting;
  await eventually(async () => (await hub.call("/v1/routes")).text.includes("b.tunnel.example"));
});
