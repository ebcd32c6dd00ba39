import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import { turnOf, type Intervals } from "../../src/protocol/index.ts";
import { eventually, TestHub, type JobReply } from "../helpers/hub.ts";
import {
  profileOffer,
  SimulatedWorker,
  type SimulatedJob,
  type SimulatedWorkerOptions,
} from "../helpers/simulated-worker.ts";
import { attemptOutcome } from "../helpers/store.ts";

/** Lets leases end quickly */
const brisk: Partial<Intervals> = { heartbeatMs: 50, leaseMs: 400, suspectMs: 300, selfStopMs: 300 };

function workerOf(hub: TestHub, over: Partial<SimulatedWorkerOptions> = {}): Promise<SimulatedWorker> {
  return SimulatedWorker.start({ url: hub.url, token: hub.workerToken, ...over });
}

function held(): { run: (job: SimulatedJob) => Promise<void>; next: () => Promise<SimulatedJob> } {
  const jobs: SimulatedJob[] = [];
  return { run: async (job) => void jobs.push(job), next: () => eventually(() => jobs.shift()) };
}

async function workersOf(hub: TestHub): Promise<{ id: string; state: string; held: number }[]> {
  return ((await hub.call("/v1/workers")).json as unknown as { workers: [] }).workers;
}

test("an offer nobody answers goes to another worker and costs no attempt; the deaf one is suspect", async () => {
  await using hub = await TestHub.start({ intervals: { offerMs: 100 } });
  await using deaf = await workerOf(hub, { workerId: "a-deaf", offers: "silent" });
  const job = await hub.submit();
  await eventually(() => deaf.of("offer").length === 1);
  await using _good = await workerOf(hub, { workerId: "b-good" });
  const ended = await hub.wait(job.id);
  assert.equal(ended.state, "succeeded");
  assert.deepEqual(
    ended.attempts.map(({ attempt, workerId }) => [attempt, workerId]),
    [[1, "b-good"]],
  );
  assert.deepEqual(
    (await workersOf(hub)).map(({ id, state }) => [id, state]),
    [
      ["a-deaf", "suspect"],
      ["b-good", "ready"],
    ],
  );
  assert.equal(deaf.of("lease.cancel")[0]?.reason, "superseded");
});

test("an offer whose worker goes before it answers is made to another at once and costs no attempt", async () => {
  await using hub = await TestHub.start({ intervals: { offerMs: 60_000, leaseMs: 600_000 } });
  const deaf = await workerOf(hub, { workerId: "a-deaf", offers: "silent" });
  const job = await hub.submit();
  await eventually(() => deaf.of("offer").length === 1);
  await using _good = await workerOf(hub, { workerId: "b-good" });
  await deaf[Symbol.asyncDispose]();
  const ended = await hub.wait(job.id);
  assert.deepEqual(
    ended.attempts.map(({ attempt, workerId }) => [attempt, workerId]),
    [[1, "b-good"]],
  );
});

test("an acceptance that comes after the offer was taken back is superseded", async () => {
  await using hub = await TestHub.start({ intervals: { offerMs: 50, suspectMs: 60_000 } });
  await using late = await workerOf(hub, { offers: "silent" });
  const job = await hub.submit();
  const [offer] = await eventually(() => (late.of("offer").length > 0 ? late.of("offer") : undefined));
  assert.ok(offer);
  await eventually(() => late.of("lease.cancel").length > 0);
  late.send({ type: "offer.accept", lease: offer.lease, attempt: offer.attempt, epoch: offer.epoch });
  await eventually(() => late.of("lease.done").some((done) => done.outcome === "superseded"));
  assert.equal((await hub.wait(job.id, "10ms")).state, "queued");
});

test("a hello that was long on its way takes nothing from a worker that has gone on elsewhere since", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const early = worker.hello();
  worker.vanish();
  await worker.connect();
  const { id } = await hub.submit({ retry: { maxAttempts: 3 } });
  const job = await jobs.next();
  job.started();
  await using late = await workerOf(hub, { workerId: "late" });
  await assert.rejects(late.connect(hub.url, early), { code: "lease_superseded" });
  await job.exit();
  const ended = await hub.wait(id);
  assert.deepEqual([ended.state, ended.attempts.length], ["succeeded", 1]);
});

test("a hello of a life that is over takes nothing from the life after it", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run, life: 8 });
  const { id } = await hub.submit({ retry: { maxAttempts: 3 } });
  const job = await jobs.next();
  job.started();
  await using late = await workerOf(hub, { workerId: "late" });
  const hello = { ...worker.hello(), bootId: "the one before", turn: turnOf(7, 3), leases: [] };
  await assert.rejects(late.connect(hub.url, hello), { code: "lease_superseded" });
  await job.exit();
  const ended = await hub.wait(id);
  assert.deepEqual([ended.state, ended.attempts.length], ["succeeded", 1]);
});

test("a job cancelled while it is on offer is not told as over before its worker answered; who takes it is told to stop", async () => {
  await using hub = await TestHub.start({ intervals: { offerMs: 60_000 } });
  await using worker = await workerOf(hub, { offers: "silent" });
  for (const takes of [true, false]) {
    const { id } = await hub.submit();
    const { lease, attempt, epoch } = await eventually(() =>
      worker.of("offer").find((offer) => offer.lease === id),
    );
    const cancelled = await hub.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
    assert.deepEqual([cancelled.status, cancelled.json.state], [202, "queued"]);
    const told = await eventually(() => worker.of("lease.cancel").find((order) => order.lease === id));
    assert.deepEqual([told.attempt, told.epoch, told.reason], [attempt, epoch, "cancelled"]);
    if (takes) {
      worker.send({ type: "offer.accept", lease, attempt, epoch });
      const outcome = attemptOutcome({ reason: "cancelled", exitCode: null });
      worker.send({ type: "lease.exit", lease, attempt, epoch, outcome });
    } else worker.send({ type: "offer.reject", lease, attempt, epoch, reason: "no_slot", detail: "" });
    const ended = await hub.wait(id);
    assert.deepEqual([ended.state, ended.result?.attempt], ["cancelled", takes ? 1 : 0]);
  }
});

test("a rejected offer is made again, elsewhere or later", async () => {
  await using hub = await TestHub.start();
  await using full = await workerOf(hub, { workerId: "a-full", offers: "silent" });
  const job = await hub.submit();
  const [offer] = await eventually(() => (full.of("offer").length > 0 ? full.of("offer") : undefined));
  assert.ok(offer);
  const { lease, attempt, epoch } = offer;
  full.send({ type: "offer.reject", lease, attempt, epoch, reason: "no_slot", detail: "none free" });
  const again = await eventually(() => full.of("offer").find((next) => next.epoch > epoch));
  assert.deepEqual([again.lease, again.attempt], [job.id, attempt]);
  full.send({ type: "offer.reject", lease, attempt, epoch: again.epoch, reason: "draining", detail: "" });
  await using _good = await workerOf(hub, { workerId: "b-good" });
  const ended = await hub.wait(job.id);
  assert.deepEqual(
    ended.attempts.map((entry) => [entry.attempt, entry.workerId]),
    [[1, "b-good"]],
  );
});

test("a worker that vanishes loses its job when its lease is over", async () => {
  await using hub = await TestHub.start({ intervals: brisk });
  const jobs = held();
  const worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  job.started();
  job.print("stdout", "half");
  await eventually(async () => (await hub.call(`/v1/jobs/${id}/stdout`)).text === "half");
  worker.vanish();
  const ended = await hub.wait(id);
  assert.equal(ended.state, "lost");
  assert.equal(ended.result?.reason, "worker_lost");
  assert.equal(ended.result?.output.stdoutBytes, 4);
  assert.deepEqual(
    (await workersOf(hub)).map(({ state }) => state),
    ["offline"],
  );
});

test("a job that may be retried goes to another worker, and the one that comes back is told to kill it", async () => {
  await using hub = await TestHub.start({ intervals: brisk });
  const jobs = held();
  await using first = await workerOf(hub, { workerId: "first", run: jobs.run });
  const { id } = await hub.submit({ retry: { maxAttempts: 2 } });
  const stale = await jobs.next();
  stale.started();
  first.vanish();
  await using _second = await workerOf(hub, { workerId: "second" });
  const ended = await hub.wait(id);
  assert.equal(ended.state, "succeeded");
  assert.deepEqual(
    ended.attempts.map(({ workerId, reason }) => [workerId, reason]),
    [
      ["first", "worker_lost"],
      ["second", "exited"],
    ],
  );
  const welcome = await first.connect();
  assert.deepEqual(
    welcome.verdicts.map(({ lease, verdict }) => [lease, verdict]),
    [[id, "kill"]],
  );
  first.send({ type: "lease.exit", ...stale.lease, outcome: stale.outcome({ exitCode: 1 }) });
  await eventually(() => first.of("lease.done").some((done) => done.outcome === "superseded"));
  assert.equal((await hub.wait(id)).state, "succeeded");
});

test("a connection that breaks in the middle of a job costs nothing when the worker is back in time", async () => {
  await using hub = await TestHub.start({ intervals: { ...brisk, leaseMs: 5_000 } });
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  job.started();
  job.print("stdout", "one ");
  worker.vanish();
  job.print("stdout", "two ");
  await worker.connect();
  job.print("stdout", "three");
  assert.equal(await job.exit(), "recorded");
  const ended = await hub.wait(id);
  assert.deepEqual([ended.state, ended.attempts.length], ["succeeded", 1]);
  assert.equal((await hub.call(`/v1/jobs/${id}/stdout`)).text, "one two three");
});

test("an exit told twice is recorded once and answered twice", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  await job.flush();
  worker.send({ type: "lease.exit", ...job.lease, outcome: job.outcome({ exitCode: 0 }) });
  worker.send({ type: "lease.exit", ...job.lease, outcome: job.outcome({ exitCode: 9 }) });
  await eventually(() => worker.of("lease.done").length === 2);
  assert.deepEqual(
    worker.of("lease.done").map((done) => done.outcome),
    ["recorded", "recorded"],
  );
  assert.equal((await hub.wait(id)).result?.exitCode, 0);
});

test("messages under a stale attempt or epoch are superseded and change nothing", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  job.started();
  await eventually(async () => (await hub.wait(id, "10ms")).state === "running");
  for (const stale of [
    { ...job.lease, epoch: job.lease.epoch + 1 },
    { ...job.lease, attempt: job.lease.attempt + 1 },
  ]) {
    const before = worker.of("lease.done").length;
    worker.send({ type: "lease.started", ...stale, at: 1 });
    worker.send({ type: "offer.accept", ...stale });
    worker.send({ type: "lease.exit", ...stale, outcome: job.outcome({ exitCode: 9 }) });
    await eventually(() => worker.of("lease.done").length === before + 3);
  }
  assert.ok(worker.of("lease.done").every((done) => done.outcome === "superseded"));
  assert.equal((await hub.wait(id, "10ms")).state, "running");
  job.done = deferred();
  assert.equal(await job.exit(), "recorded");
});

test("output under a stale grant is refused, a gap as well", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  await hub.submit();
  const job = await jobs.next();
  const open = (over: object): Promise<unknown> => {
    const stream = worker.channel?.open({ kind: "output", ...job.lease, from: 0, ...over });
    stream?.end();
    return stream?.finished ?? Promise.resolve();
  };
  await assert.rejects(open({ epoch: job.lease.epoch + 1 }), (error) => isError(error, "stream_reset"));
  await assert.rejects(open({ from: 1_000 }), (error) => isError(error, "stream_reset"));
  await job.exit();
});

test("a heartbeat whose leases differ brings both sides together", async () => {
  await using hub = await TestHub.start({ intervals: { heartbeatMs: 30 } });
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  await jobs.next();
  await eventually(async () => (await hub.wait(id, "10ms")).state === "leased");
  worker.held.clear();
  const ended = await hub.wait(id);
  assert.equal(ended.state, "lost");
  assert.ok(worker.of("leases.verdicts").length > 0);
});

test("a list of leases ends the grants it names, not a later one of the same job", async () => {
  await using hub = await TestHub.start();
  await using worker = await workerOf(hub, { offers: "silent" });
  const { id } = await hub.submit();
  const { lease, attempt, epoch } = await eventually(() => worker.of("offer")[0]);
  const stale = { lease, attempt, epoch: epoch + 1, kind: "job" as const, from: 0, to: 0 };
  worker.send({ type: "leases", leases: [stale] });
  worker.send({ type: "offer.accept", lease, attempt, epoch });
  const [told] = await eventually(() => worker.of("leases.verdicts")[0]?.verdicts);
  assert.deepEqual([told?.epoch, told?.verdict], [stale.epoch, "kill"]);
  await eventually(async () => (await hub.wait(id, "1ms")).state === "leased");
  assert.deepEqual(
    (await workersOf(hub)).map((entry) => entry.held),
    [1],
  );
});

test("a second connection of the same worker takes the place of the first", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using first = await workerOf(hub, { workerId: "w", bootId: "b", run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  const before = first.channel;
  await first.connect();
  const reason = await before?.closed;
  assert.match(reason?.message ?? "", /replaced/);
  assert.equal(await job.exit(), "recorded");
  assert.equal((await hub.wait(id)).state, "succeeded");
  assert.equal((await workersOf(hub)).length, 1);
});

test("a worker process started anew ends what its earlier life held", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using _first = await workerOf(hub, { workerId: "w", bootId: "b1", run: jobs.run });
  const { id } = await hub.submit();
  await jobs.next();
  await eventually(async () => (await hub.wait(id, "10ms")).state === "leased");
  const events = fetch(`${hub.url}/v1/jobs/${id}/events`, {
    headers: { authorization: `Bearer ${hub.adminKey}` },
  });
  const told = events.then((response) => response.text());
  await events;
  await using _second = await workerOf(hub, { workerId: "w", bootId: "b2" });
  assert.equal((await hub.wait(id)).state, "lost");
  assert.match(await told, /event: finished/);
});

test("a worker of another protocol version is refused, naming both", async () => {
  await using hub = await TestHub.start();
  await assert.rejects(
    workerOf(hub, { protocol: { min: 7, max: 9 } }),
    (error) => isError(error, "protocol_unsupported") && /7 to 9/.test(error.message),
  );
  await using _wide = await workerOf(hub, { protocol: { min: 1, max: 9 } });
});

test("a worker that breaks the protocol is cut off with the reason, others go on", async () => {
  await using hub = await TestHub.start();
  await using good = await workerOf(hub, { workerId: "good" });
  const bad = await workerOf(hub, { workerId: "bad" });
  bad.send({
    type: "hello",
    protocol: { min: 1, max: 1 },
    workerId: "bad",
    bootId: "b",
    version: "",
    labels: {},
    capacity: { slots: 1, memory: 1, cpus: 1 },
    profiles: [],
    routes: [],
    leases: [],
  });
  assert.ok(isError(await bad.channel?.closed, "protocol_violation"));
  await bad[Symbol.asyncDispose]();
  assert.equal((await hub.wait((await hub.submit()).id)).attempts[0]?.workerId, good.workerId);
});

test("jobs go to workers with the labels and the profile they need", async () => {
  await using hub = await TestHub.start();
  await using _plain = await workerOf(hub, { workerId: "plain" });
  await using _gpu = await workerOf(hub, {
    workerId: "gpu",
    labels: { gpu: "yes" },
    profiles: [profileOffer("shell")],
  });
  await using _node = await workerOf(hub, { workerId: "node", profiles: [profileOffer("node")] });
  const where = async (job: Parameters<TestHub["submit"]>[0]): Promise<string | undefined> =>
    (await hub.wait((await hub.submit(job)).id)).attempts[0]?.workerId;
  assert.equal(await where({ labels: { gpu: "yes" } }), "gpu");
  assert.equal(await where({ profile: "node" }), "node");
  const nowhere = await hub.submit({ labels: { gpu: "no" } });
  assert.equal((await hub.wait(nowhere.id, "50ms")).state, "queued");
});

test("a worker is never offered more jobs than it has slots", async () => {
  await using hub = await TestHub.start();
  const jobs: SimulatedJob[] = [];
  await using worker = await workerOf(hub, { slots: 3, run: async (job) => void jobs.push(job) });
  const submitted = await Promise.all(Array.from({ length: 10 }, () => hub.submit()));
  let most = 0;
  for (let done = 0; done < submitted.length; done += 1) {
    const job = await eventually(() => jobs.shift());
    most = Math.max(most, worker.held.size);
    await job.exit();
  }
  assert.ok(most <= 3, `${most} at once`);
  for (const { id } of submitted) assert.equal((await hub.wait(id)).state, "succeeded");
});

test("a tenant with a long queue does not keep another waiting; weights share the fleet", async () => {
  await using hub = await TestHub.start();
  const heavy = await hub.keys.addKey({ name: "heavy", tenant: "heavy", weight: 1, scopes: ["jobs"] });
  const light = await hub.keys.addKey({ name: "light", tenant: "light", weight: 2, scopes: ["jobs"] });
  await (await workerOf(hub))[Symbol.asyncDispose]();
  for (let count = 0; count < 30; count += 1) await hub.submit({}, heavy);
  for (let count = 0; count < 10; count += 1) await hub.submit({}, light);
  const order: string[] = [];
  await using worker = await workerOf(hub, { slots: 1, run: async (job) => void (await job.exit()) });
  await eventually(async () => {
    const page = (await hub.call("/v1/jobs?state=succeeded&limit=100")).json as unknown as {
      jobs: JobReply[];
    };
    return page.jobs.length === 40;
  }, 30_000);
  const page = (await hub.call("/v1/jobs?limit=100")).json as unknown as { jobs: JobReply[] };
  const tenants = new Map(page.jobs.map((job) => [job.id, job.tenant]));
  for (const offer of worker.of("offer")) order.push(tenants.get(offer.lease) ?? "");
  const firstFifteen = order.slice(0, 15).filter((tenant) => tenant === "light").length;
  assert.ok(firstFifteen >= 9 && firstFifteen <= 11, order.join(" "));
});

test("a higher priority goes first within a tenant", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub))[Symbol.asyncDispose]();
  const low = await hub.submit({ priority: -5 });
  const normal = await hub.submit();
  const high = await hub.submit({ priority: 5 });
  await using worker = await workerOf(hub, { slots: 1 });
  for (const { id } of [low, normal, high]) await hub.wait(id);
  assert.deepEqual(
    worker.of("offer").map((offer) => offer.lease),
    [high.id, normal.id, low.id],
  );
});

test("a draining worker finishes what it holds and is offered nothing", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { workerId: "w", run: jobs.run });
  const first = await hub.submit();
  const job = await jobs.next();
  const drain = await hub.call("/v1/workers/w/drain", { method: "POST", json: { deadline: "5m" } });
  assert.equal(drain.status, 202);
  assert.deepEqual((await eventually(() => worker.of("drain")[0])).deadlineMs, 300_000);
  worker.send({ type: "draining", held: 1 });
  const second = await hub.submit();
  assert.equal(await job.exit(), "recorded");
  assert.equal((await hub.wait(first.id)).state, "succeeded");
  assert.equal((await hub.wait(second.id, "50ms")).state, "queued");
  assert.equal(worker.of("offer").length, 1);
  const unknown = await hub.call("/v1/workers/nobody/drain", { method: "POST" });
  assert.deepEqual([unknown.status, unknown.json.error.code], [404, "worker_unknown"]);
});

test("a draining hub takes no jobs and no workers, tells its workers, and lets followers go", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  await jobs.next();
  const following = fetch(`${hub.url}/v1/jobs/${id}/events`, {
    headers: { authorization: `Bearer ${hub.adminKey}` },
  });
  const text = (await following).text();
  const waiting = hub.wait(id, "30s");
  await hub.hub.drain(5_000);
  assert.doesNotMatch(await text, /finished/);
  assert.equal((await waiting).state, "leased");
  assert.equal(worker.of("go-away").length, 1);
  const refused = await hub.call("/v1/jobs", { method: "POST", json: { profile: "shell", command: ["x"] } });
  assert.deepEqual([refused.status, refused.json.error.code], [503, "hub_draining"]);
  const ready = await hub.call("/readyz", { key: null });
  assert.equal(ready.status, 503);
  assert.match(ready.text, /hub_draining/);
  await assert.rejects(workerOf(hub, { workerId: "late" }), (error) => isError(error, "hub_draining"));
});
