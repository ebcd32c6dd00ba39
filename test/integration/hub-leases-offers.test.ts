import assert from "node:assert/strict";
import { test } from "node:test";
import { workerOf, workersOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub, type JobReply } from "../helpers/hub.ts";
import { profileOffer, type SimulatedJob } from "../helpers/simulated-worker.ts";
import { attemptOutcome } from "../helpers/store.ts";

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

test("a long queue for one profile does not keep a job for another waiting", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub))[Symbol.asyncDispose]();
  for (let count = 0; count < 10; count += 1) await hub.submit();
  const other = await hub.submit({ profile: "python", language: "python", code: "1", command: undefined });
  await using worker = await workerOf(hub, { slots: 1, run: async (job) => void (await job.exit()) });
  await hub.wait(other.id);
  const at = worker.of("offer").findIndex(({ lease }) => lease === other.id);
  assert.ok(at <= 1, `it came after ${at} others`);
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

test("a worker with room for many large jobs is offered them as it takes them", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub))[Symbol.asyncDispose]();
  const jobs: string[] = [];
  for (let n = 0; n < 40; n += 1)
    jobs.push((await hub.submit({ command: ["true", "x".repeat(1_000_000)] })).id);
  let running = 0;
  const { promise: allRun, resolve } = Promise.withResolvers<void>();
  const run = async (job: SimulatedJob): Promise<void> => {
    if ((running += 1) === jobs.length) resolve();
    await allRun;
    await job.exit();
  };
  await using worker = await workerOf(hub, { workerId: "large", slots: 64, run });
  for (const id of jobs) assert.equal((await hub.wait(id)).state, "succeeded");
  assert.equal(worker.of("offer").length, jobs.length);
  assert.match((await hub.call("/metrics")).text, /dispatch_wakes_total\{reason="offer answered"\} [1-9]/);
});
