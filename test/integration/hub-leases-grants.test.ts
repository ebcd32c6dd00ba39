import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import { held, workerOf, workersOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub } from "../helpers/hub.ts";

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

test("an exit told by another worker is superseded, whatever it knows of the lease", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  await using other = await workerOf(hub, { workerId: "other" });
  const tell = async (): Promise<string | undefined> => {
    const before = other.of("lease.done").length;
    other.send({ type: "lease.exit", ...job.lease, outcome: job.outcome({ exitCode: 9 }) });
    return (await eventually(() => other.of("lease.done")[before])).outcome;
  };
  assert.equal(await tell(), "superseded");
  assert.equal((await hub.wait(id, "10ms")).result, null);
  assert.equal(await job.exit(), "recorded");
  assert.equal(await tell(), "superseded");
  assert.equal((await hub.wait(id)).result?.exitCode, 0);
  worker.vanish();
  await worker.connect();
  worker.send({ type: "lease.exit", ...job.lease, outcome: job.outcome({ exitCode: 7 }) });
  assert.equal((await eventually(() => worker.of("lease.done")[1])).outcome, "recorded");
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
