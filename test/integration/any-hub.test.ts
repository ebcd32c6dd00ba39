/** Two hubs on one PostgreSQL: what is connected to one is seen and served at the other. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { SallyportError } from "../../src/errors.ts";
import { eventually, type TestHub } from "../helpers/hub.ts";
import { HubPair } from "../helpers/hub-pair.ts";
import { PostgresServer } from "../helpers/postgres.ts";
import { profileOffer, SimulatedWorker, steered } from "../helpers/simulated-worker.ts";
import { offered } from "../helpers/tunnel.ts";

const server = await PostgresServer.start();
after(() => server[Symbol.asyncDispose]());

/** Both know of each other. */
async function startPair(): Promise<HubPair> {
  const hubs = await HubPair.start(server);
  await eventually(async () => (await hubs.a.store.hubs?.live())?.length === 2);
  return hubs;
}

/** The second hub lives as far as anybody knows, and answers nobody. */
async function silence({ a, b }: HubPair): Promise<void> {
  b.hub.abort(new SallyportError("shutting_down", "killed"));
  await a.store.hubs?.announce({ hubId: b.hub.id, url: "http://127.0.0.1:1", secret: "none" }, 60_000);
}

const workerAt = (hub: TestHub, over: Partial<Parameters<typeof SimulatedWorker.start>[0]> = {}) =>
  SimulatedWorker.start({ url: hub.url, token: hub.workerToken, workerId: "w1", ...over });

interface Worker {
  id: string;
  hubId: string;
  state: string;
  capacity: { slots: number } | null;
  free: { slots: number } | null;
  warm: Record<string, number>;
  held: number;
}

async function workers(hub: TestHub): Promise<Worker[]> {
  return ((await hub.call("/v1/workers")).json as unknown as { workers: Worker[] }).workers;
}

test("each hub tells the same of every worker, wherever it is connected", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  const profiles = [profileOffer("shell", { warm: 3 })];
  await using _one = await workerAt(b, { slots: 5, profiles });
  await using _two = await workerAt(a, {
    workerId: "w2",
    slots: 2,
    profiles: [profileOffer("shell", { warm: 1 })],
  });
  const [seen] = await workers(a);
  assert.deepEqual(
    [seen?.id, seen?.hubId, seen?.state, seen?.capacity?.slots, seen?.free?.slots, seen?.warm],
    ["w1", b.hub.id, "ready", 5, 5, { shell: 3 }],
  );
  const steady = (list: Worker[]) => list.map(({ id, hubId, state, warm }) => ({ id, hubId, state, warm }));
  assert.deepEqual(steady(await workers(b)), steady(await workers(a)));
  const { profiles: shown } = (await a.call("/v1/profiles")).json as unknown as {
    profiles: { name: string; workers: number; warm: number }[];
  };
  assert.deepEqual(
    shown.map(({ name, workers: count, warm }) => [name, count, warm]),
    [["shell", 2, 4]],
  );
});

test("a profile that only a worker at the other hub can serve is taken at either", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  const unusable = { code: "image_unavailable", message: "no such image" };
  await using _can = await workerAt(b, { workerId: "can", profiles: [profileOffer("shell")] });
  await using _cannot = await workerAt(a, { profiles: [profileOffer("shell", { unusable })] });
  for (const hub of [a, b]) {
    const ended = await hub.wait((await hub.submit()).id);
    assert.deepEqual([ended.state, ended.attempts[0]?.workerId], ["succeeded", "can"]);
  }
});

test("a worker that left is offline at both hubs while its lease still runs", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  await using worker = await workerAt(b);
  assert.equal((await workers(a))[0]?.state, "ready");
  worker.vanish();
  await eventually(async () => (await workers(a))[0]?.state === "offline");
  assert.equal((await workers(b))[0]?.state, "offline");
});

test("a worker of a hub that does not answer is told from the store", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  await using _worker = await workerAt(b);
  await silence(hubs);
  const [seen] = await workers(a);
  assert.deepEqual([seen?.id, seen?.state, seen?.capacity], ["w1", "ready", null]);
});

test("a drain at one hub reaches the worker at the other, which then takes nothing new", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  await using worker = await workerAt(b);
  const reply = await a.call("/v1/workers/w1/drain", { method: "POST", json: { deadline: "5m" } });
  assert.deepEqual([reply.status, reply.json.id, reply.json.state], [202, "w1", "draining"]);
  await eventually(() => worker.of("drain").length === 1);
  assert.equal(worker.of("drain")[0]?.deadlineMs, 300_000);
  assert.equal((await workers(a))[0]?.state, "draining");
  const { id } = await a.submit();
  await using _other = await workerAt(a, { workerId: "w2" });
  assert.equal((await a.wait(id)).attempts[0]?.workerId, "w2");
});

test("a drain of a worker nobody has names those there are; of one whose hub is silent it is to be tried again", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  await using _worker = await workerAt(b);
  const unknown = await a.call("/v1/workers/w9/drain", { method: "POST" });
  assert.deepEqual([unknown.status, unknown.json.error.code], [404, "worker_unknown"]);
  assert.deepEqual(unknown.json.error.details["known"], ["w1"]);
  await silence(hubs);
  const silent = await a.call("/v1/workers/w1/drain", { method: "POST" });
  assert.deepEqual([silent.status, silent.json.error.code], [503, "hub_unreachable"]);
});

const feed = (hub: TestHub, id: string, body: string | Buffer, query = "") =>
  hub.call(`/v1/jobs/${id}/stdin${query}`, { method: "POST", body: body as string });

test("stdin posted at either hub reaches the program at the other, whole and in order", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  const { run, job: running } = steered();
  await (await workerAt(a))[Symbol.asyncDispose]();
  const { id } = await a.submit({ stdin: { stream: true } });
  // posted before anybody holds the job
  const first = feed(a, id, "one ", "?more");
  await using _worker = await workerAt(b, { run });
  const job = await running;
  const read = job.readAll("stdin");
  assert.equal((await first).status, 204);
  assert.equal((await feed(b, id, "two ", "?more")).status, 204);
  const much = Buffer.alloc(3 * 2 ** 20, "x");
  assert.equal((await feed(a, id, much)).status, 204);
  assert.equal((await read).toString(), `one two ${much.toString()}`);
  const late = await feed(a, id, "late");
  assert.deepEqual([late.status, late.json.error.code], [409, "stdin_closed"]);
  await job.exit();
});

test("stdin at another hub is answered as slowly as the program reads, and refused while it is fed", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  const { run, job: running } = steered();
  await using _worker = await workerAt(b, { run });
  const { id } = await a.submit({ stdin: { stream: true } });
  const job = await running;
  const slow = feed(a, id, Buffer.alloc(8 * 2 ** 20));
  await job.incoming("stdin");
  const busy = await feed(a, id, "me too", "?more");
  assert.deepEqual([busy.status, busy.json.error.code], [409, "stdin_busy"]);
  assert.equal((await job.readAll("stdin")).length, 8 * 2 ** 20);
  assert.equal((await slow).status, 204);
  await job.exit();
});

test("a client that leaves in the middle of its stdin leaves the program to the next one, at the other hub too", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  const { run, job: running } = steered();
  await using _worker = await workerAt(b, { run });
  const { id } = await a.submit({ stdin: { stream: true } });
  const job = await running;
  const leaving = new AbortController();
  const body = new ReadableStream({ start: (begun) => begun.enqueue(Buffer.from("half ")) });
  const left = fetch(`${a.url}/v1/jobs/${id}/stdin`, {
    method: "POST",
    headers: { authorization: `Bearer ${a.adminKey}` },
    body,
    duplex: "half",
    signal: leaving.signal,
  });
  const stream = await job.incoming("stdin");
  let text = "";
  const read = (async () => {
    for await (const chunk of stream.chunks) {
      text += Buffer.from(chunk).toString();
      stream.grant(chunk.length);
    }
    stream.finish();
  })();
  await eventually(() => text === "half ");
  assert.equal((await feed(b, id, "too early", "?more")).json.error.code, "stdin_busy");
  leaving.abort();
  await assert.rejects(left);
  await eventually(async () => (await feed(b, id, "rest", "?more=true")).status === 204);
  assert.equal((await feed(a, id, "")).status, 204);
  await read;
  assert.equal(text, "half rest");
  await job.exit();
});

test("routes offered at one hub are listed at both, once for everybody who offers them, and jobs may name them", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  const docs = offered("docs.tunnel.example");
  await using one = await workerAt(b);
  one.send({ type: "routes", routes: [docs] });
  const routes = async (hub: TestHub) =>
    ((await hub.call("/v1/routes")).json as unknown as { routes: { host: string; connectors: number }[] })
      .routes;
  await eventually(async () => (await routes(a)).length === 1);
  await using two = await workerAt(a, { workerId: "w2" });
  two.send({ type: "routes", routes: [docs, offered("wiki.tunnel.example")] });
  await eventually(async () => (await routes(b)).length === 2);
  const shown = (await routes(b)).map(({ host, connectors }) => [host, connectors]);
  assert.deepEqual(shown, [
    ["docs.tunnel.example", 2],
    ["wiki.tunnel.example", 1],
  ]);
  const { id } = await b.submit({ mcp: [{ host: "wiki" }, { host: "docs.tunnel.example" }] });
  assert.equal((await a.wait(id)).state, "succeeded");
  const json = { profile: "shell", command: ["x"], mcp: [{ host: "nowhere" }] };
  const refused = await a.call("/v1/jobs", { method: "POST", json });
  assert.deepEqual([refused.status, refused.json.error.code], [404, "route_unknown"]);
  assert.deepEqual(refused.json.error.details["known"], ["docs", "wiki"]);
});

test("a job for a route that a silent hub may have is to be tried again, not refused for good", async () => {
  await using hubs = await startPair();
  const { a } = hubs;
  await using _worker = await workerAt(a);
  await silence(hubs);
  const json = { profile: "shell", command: ["x"], mcp: [{ host: "docs" }] };
  const reply = await a.call("/v1/jobs", { method: "POST", json });
  assert.deepEqual([reply.status, reply.json.error.code], [503, "hub_unreachable"]);
});

test("only a hub with the other's secret may ask what hubs ask each other", async () => {
  await using hubs = await startPair();
  const { a } = hubs;
  const [own, other] = [await hubs.a.store.hubs?.live()].flatMap((live) => [
    live?.find(({ hubId }) => hubId === a.hub.id),
    live?.find(({ hubId }) => hubId !== a.hub.id),
  ]);
  const ask = async (key: string | null) => (await a.call("/v1/neighbour/fleet", { key })).status;
  assert.deepEqual([await ask(own?.secret ?? ""), await ask(other?.secret ?? "")], [200, 401]);
  assert.deepEqual([await ask(a.adminKey), await ask(null)], [401, 401]);
  const drain = await a.call("/v1/neighbour/workers/w1/drain", {
    method: "POST",
    json: { deadlineMs: null },
  });
  const stdin = await a.call("/v1/neighbour/jobs/j1/stdin?more=true", { method: "POST", body: "x" });
  assert.deepEqual([drain.status, stdin.status], [401, 401]);
  assert.equal((await a.call("/v1/workers", { key: own?.secret ?? "" })).status, 401);
  assert.doesNotMatch((await a.call("/openapi.json")).text, /neighbour/);
  assert.ok(!hubs.a.lines.some((line) => line.includes(own?.secret ?? "none")));
});

test("a hub that stopped is no longer asked, and one that crashed is forgotten after a while", async () => {
  await using hubs = await startPair();
  const { a, b } = hubs;
  await b.stop();
  const live = async () => (await a.store.hubs?.live())?.map(({ hubId }) => hubId);
  assert.deepEqual(await live(), [a.hub.id]);
  await a.store.hubs?.announce({ hubId: "hub-x", url: "http://127.0.0.1:1", secret: "s" }, 300);
  assert.equal((await live())?.length, 2);
  await eventually(async () => (await live())?.length === 1);
});
