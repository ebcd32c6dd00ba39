/** Byte streams from one dialled-out process to another, through a hub that cannot read them. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { withDeadline } from "../../src/async/index.ts";
import { isError, type SallyportError } from "../../src/errors.ts";
import { limits } from "../../src/protocol/index.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { SimulatedWorker } from "../helpers/simulated-worker.ts";
import { EchoTunnel, hangUpAfter, offered, readUntil, TestConnector } from "../helpers/tunnel.ts";

const docs = "docs.tunnel.example";

const coded =
  (code: string, layer: string) =>
  (error: unknown): boolean =>
    isError(error) && error.code === code && error.details["layer"] === layer;

async function connectorToken(hub: TestHub, scopes: readonly ("connector" | "worker")[] = ["connector"]) {
  return await hub.keys.addKey({ name: `key-${Math.random()}`, tenant: "default", weight: 1, scopes });
}

interface Rig extends AsyncDisposable {
  hub: TestHub;
  token: string;
  caller: TestConnector;
}

async function rig(): Promise<Rig> {
  await using stack = new AsyncDisposableStack();
  const hub = stack.use(await TestHub.start());
  const token = await connectorToken(hub);
  const caller = stack.use(await TestConnector.start({ url: hub.url, token, connectorId: "caller" }));
  const owned = stack.move();
  return { hub, token, caller, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Resolves once the caller was told of the host. */
async function knows({ caller }: Rig, host: string, known = true): Promise<void> {
  await eventually(() => caller.end.routes().some((route) => route.host === host) === known);
}

async function answerOf(rigged: Rig, host: string, connector?: string): Promise<string> {
  const stream = await rigged.caller.call(host, connector);
  stream.write("hi.");
  const text = await readUntil(stream, "hi.");
  stream.destroy();
  return text;
}

test("a caller's TLS ends at the connector, and each side is told who the other is", async () => {
  await using r = await rig();
  const tunnel = new EchoTunnel("a", [offered(docs)]);
  await using _c = await TestConnector.start({
    url: r.hub.url,
    token: r.token,
    connectorId: "a",
    offer: tunnel,
  });
  await knows(r, docs);
  assert.deepEqual(r.caller.end.routes(), [{ host: docs, name: "docs" }]);
  assert.equal(await answerOf(r, docs), "a:hi.");
  assert.match(tunnel.callers[0] ?? "", /^connector caller \(r1\)$/);
});

test("a worker offers routes and is asked for them like any connector", async () => {
  await using r = await rig();
  await using worker = await SimulatedWorker.start({ url: r.hub.url, token: r.hub.workerToken });
  worker.send({ type: "routes", routes: [offered(docs)] });
  await knows(r, docs);
  worker.send({ type: "routes", routes: [] });
  await knows(r, docs, false);
});

test("a host nobody offers is route_unknown at layer name", async () => {
  await using r = await rig();
  await assert.rejects(r.caller.call("nowhere.example"), coded("route_unknown", "name"));
});

test("a caller is given the whole reply of a connector that closes behind it, however late it reads", async () => {
  await using r = await rig();
  const reply = randomBytes(4 * limits.streamWindow);
  const tunnel = new EchoTunnel("a", [offered(docs)]);
  tunnel.serve = hangUpAfter(reply);
  await using _c = await TestConnector.start({ ...r, url: r.hub.url, connectorId: "a", offer: tunnel });
  await knows(r, docs);
  const stream = await r.caller.end.open({ host: docs, requestId: "r1" }, new AbortController().signal);
  stream.write("nobody reads this");
  await assert.rejects(r.caller.call("nowhere.example"), coded("route_unknown", "name"));
  const read = await withDeadline(buffer(stream), 10_000, "the reply");
  assert.ok(read.equals(reply), `${read.length} bytes of ${reply.length}`);
  stream.end();
  await eventually(() => r.caller.end.active === 0);
});

test("a connector that is lost resets its streams and takes its routes along", async () => {
  await using r = await rig();
  const tunnel = new EchoTunnel("a", [offered(docs)]);
  const connector = await TestConnector.start({
    url: r.hub.url,
    token: r.token,
    connectorId: "a",
    offer: tunnel,
  });
  await knows(r, docs);
  const stream = await r.caller.call(docs);
  stream.write("hi.");
  await readUntil(stream, "hi.");
  const lost = once(stream, "error");
  await connector[Symbol.asyncDispose]();
  assert.ok(coded("route_unavailable", "edge")((await lost)[0]));
  await knows(r, docs, false);
  await assert.rejects(r.caller.call(docs), coded("route_unknown", "name"));
  const metrics = (await r.hub.call("/metrics", { key: null })).text;
  assert.match(metrics, /sallyport_tunnel_active\{route="docs\.tunnel\.example"\} 0/);
  assert.match(metrics, /sallyport_tunnel_streams_total\{route="",outcome="route_unknown"\} 1/);
});

test("connectors of one host share callers, and one that is named gets its own", async () => {
  await using r = await rig();
  const tunnels = ["a", "b"].map((name) => new EchoTunnel(name, [offered(docs)]));
  await using _a = await TestConnector.start({ ...r, url: r.hub.url, connectorId: "a", offer: tunnels[0]! });
  await using _b = await TestConnector.start({ ...r, url: r.hub.url, connectorId: "b", offer: tunnels[1]! });
  await eventually(async () => {
    const { json } = await r.hub.call("/v1/routes");
    return (json as unknown as { routes: { connectors: number }[] }).routes[0]?.connectors === 2;
  });
  const open: Duplex[] = [];
  for (let n = 0; n < 6; n += 1) open.push(await r.caller.call(docs));
  assert.deepEqual(
    tunnels.map(({ served }) => served.length),
    [3, 3],
  );
  for (let n = 0; n < 3; n += 1) assert.equal(await answerOf(r, docs, "b"), "b:hi.");
  await assert.rejects(answerOf(r, docs, "gone"), coded("route_unavailable", "edge"));
  for (const stream of open) stream.destroy();
});

test("a connector that drains finishes what it has, and the other gets what is new", async () => {
  await using r = await rig();
  const [first, second] = [new EchoTunnel("a", [offered(docs)]), new EchoTunnel("b", [offered(docs)])];
  await using a = await TestConnector.start({ ...r, url: r.hub.url, connectorId: "a", offer: first });
  await knows(r, docs);
  const running = await r.caller.call(docs);
  running.write("1.");
  assert.equal(await readUntil(running, "1."), "a:1.");
  await using _b = await TestConnector.start({ ...r, url: r.hub.url, connectorId: "b", offer: second });
  const drained = a.connector.drain();
  for (let n = 0; n < 4; n += 1) assert.equal(await answerOf(r, docs), "b:hi.");
  running.write("2.");
  assert.equal(await readUntil(running, "2."), "2.");
  running.end();
  await drained;
});

test("a connector that is back before its loss was noticed is asked on its new channel", async () => {
  await using r = await rig();
  const tunnel = new EchoTunnel("old", [offered(docs)]);
  await using stale = await TestConnector.start({ ...r, url: r.hub.url, connectorId: "a", offer: tunnel });
  await knows(r, docs);
  // it goes on dialling, so its place is taken for as long as the other is there
  const over = stale.channels[0]?.closed as Promise<SallyportError>;
  stale.url = "http://127.0.0.1:9";
  await using _fresh = await TestConnector.start({
    ...r,
    url: r.hub.url,
    connectorId: "a",
    offer: new EchoTunnel("new", [offered(docs)]),
  });
  assert.equal((await over).code, "channel_closed");
  assert.equal(await answerOf(r, docs), "new:hi.");
});

test("a slow caller stalls alone", async () => {
  await using r = await rig();
  const tunnel = new EchoTunnel("a", [offered(docs)]);
  await using _c = await TestConnector.start({ ...r, url: r.hub.url, connectorId: "a", offer: tunnel });
  await knows(r, docs);
  const slow = await r.caller.call(docs);
  await once(slow, "secureConnect");
  slow.write(randomBytes(12 * limits.streamWindow));
  for (let n = 0; n < 20; n += 1) assert.equal(await answerOf(r, docs), "a:hi.");
  assert.ok(slow.writableLength > 0, "what nobody reads was taken all the same");
  slow.destroy();
});

test("only a key with scope connector may offer routes", async () => {
  await using r = await rig();
  const token = await connectorToken(r.hub, ["worker"]);
  await using worker = await SimulatedWorker.start({ url: r.hub.url, token, workerId: "w9" });
  const { channel } = worker;
  worker.send({ type: "routes", routes: [offered(docs)] });
  assert.equal((await channel?.closed)?.code, "scope_missing");
  const refused = new TestConnector({ ...r, url: r.hub.url, token, connectorId: "c9" });
  await using _refused = refused;
  const reason = await eventually(() => refused.channels[0]?.closed);
  assert.equal(reason.code, "scope_missing");
  assert.deepEqual(r.caller.end.routes(), []);
});

test("routes are listed with the best health anyone saw, and jobs may name them by either name", async () => {
  await using r = await rig();
  const down = { state: "down", layer: "dial", reason: "connect ECONNREFUSED" } as const;
  const tunnel = new EchoTunnel("a", [offered(docs, down)]);
  await using _c = await TestConnector.start({ ...r, url: r.hub.url, connectorId: "a", offer: tunnel });
  const list = async (): Promise<Record<string, unknown>[]> =>
    ((await r.hub.call("/v1/routes")).json as unknown as { routes: Record<string, unknown>[] }).routes;
  const checkedAt = new Date(1_790_000_000_000).toISOString();
  assert.deepEqual(await list(), [{ host: docs, name: "docs", ...down, connectors: 1, checkedAt }]);
  tunnel.set([offered(docs), offered("b.tunnel.example")]);
  await eventually(async () => (await list()).length === 2);
  assert.equal((await list())[1]?.["state"], "up");
  await using _worker = await SimulatedWorker.start({ url: r.hub.url, token: r.hub.workerToken });
  for (const host of [docs, "docs"]) {
    const { id } = await r.hub.submit({ mcp: [{ host }] });
    assert.equal((await r.hub.wait(id)).state, "succeeded");
  }
  const refused = await r.hub.call("/v1/jobs", {
    method: "POST",
    json: { profile: "shell", command: ["true"], mcp: [{ host: "nowhere" }] },
  });
  assert.deepEqual([refused.status, refused.json.error.code], [404, "route_unknown"]);
});
