import assert from "node:assert/strict";
import { test } from "node:test";
import { isError, SallyportError } from "../../src/errors.ts";
import { turnOf, type HeldLease, type Intervals, type WorkerMessage } from "../../src/protocol/index.ts";
import { held, workerOf, workersOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { storeWith } from "../helpers/store.ts";

/** Lets leases end quickly */
const brisk: Partial<Intervals> = { heartbeatMs: 50, leaseMs: 400, suspectMs: 300, selfStopMs: 300 };

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

test("a lease named twice in a hello takes one slot", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run, slots: 2, heartbeats: false });
  await hub.submit();
  const job = await jobs.next();
  worker.vanish();
  const hello = worker.hello() as Extract<WorkerMessage, { type: "hello" }>;
  await worker.connect(hub.url, { ...hello, leases: [...hello.leases, ...hello.leases] });
  await hub.submit();
  const second = await jobs.next();
  await job.exit();
  await second.exit();
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

test("a job whose acceptance was heard and never written down is lost with the worker that gave it up, and not run again", async () => {
  let full = true;
  await using hub = await TestHub.start({
    intervals: { ...brisk, leaseMs: 5_000 },
    wrapStore: (store) =>
      storeWith(store, {
        leases: {
          ...store.leases,
          accept: async (...args) => {
            if (full) throw new SallyportError("store_full", "the disk is full");
            return await store.leases.accept(...args);
          },
        },
      }),
  });
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  worker.vanish();
  full = false;
  const welcome = await worker.connect();
  assert.deepEqual(
    welcome.verdicts.map(({ lease, verdict }) => [lease, verdict]),
    [[id, "continue"]],
  );
  job.forget();
  const ended = await hub.wait(id);
  assert.deepEqual([ended.state, ended.result?.reason, ended.attempts.length], ["lost", "worker_lost", 1]);
  assert.equal(worker.of("offer").length, 1);
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

test("a hello names 10,000 leases and is judged on each; one more is refused", async () => {
  await using hub = await TestHub.start();
  await using worker = await workerOf(hub);
  const leases = (count: number): HeldLease[] =>
    Array.from({ length: count }, (_, at) => ({
      lease: `${String(at).padStart(5, "0")}${"x".repeat(123)}`,
      attempt: 1,
      epoch: 1,
      kind: "job",
      from: 0,
      to: 0,
    }));
  const hello = (count: number): WorkerMessage =>
    ({ ...worker.hello(), leases: leases(count) }) as WorkerMessage;
  const welcome = await worker.connect(hub.url, hello(10_000));
  assert.deepEqual(
    welcome.verdicts.map(({ lease, verdict }) => [lease, verdict]),
    leases(10_000).map(({ lease }) => [lease, "kill"]),
  );
  await assert.rejects(worker.connect(hub.url, hello(10_001)), (error) =>
    isError(error, "protocol_violation"),
  );
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
