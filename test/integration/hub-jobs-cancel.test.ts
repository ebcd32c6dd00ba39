import assert from "node:assert/strict";
import { test } from "node:test";
import { held, workerOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub } from "../helpers/hub.ts";

test("a queued job that is cancelled never runs", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub))[Symbol.asyncDispose]();
  const job = await hub.submit();
  const cancelled = await hub.call(`/v1/jobs/${job.id}/cancel`, { method: "POST" });
  assert.equal(cancelled.status, 202);
  await using worker = await workerOf(hub);
  assert.equal((await hub.wait(job.id)).state, "cancelled");
  const next = await hub.submit();
  await hub.wait(next.id);
  assert.deepEqual(
    worker.of("offer").map((offer) => offer.lease),
    [next.id],
  );
});

test("a running job is cancelled by push; cancelling twice or too late changes nothing", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  job.started();
  const cancel = (): ReturnType<TestHub["call"]> => hub.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
  assert.equal((await cancel()).status, 202);
  assert.equal(await job.cancelled.promise, "cancelled");
  assert.equal((await cancel()).status, 202);
  assert.equal((await hub.wait(id, "10ms")).cancelRequested, true);
  await job.exit({ reason: "cancelled", exitCode: null });
  assert.equal((await hub.wait(id)).state, "cancelled");
  const late = await cancel();
  assert.equal(late.status, 200);
  assert.equal(late.json.state, "cancelled");
  assert.ok(worker.of("lease.cancel").length >= 1);
});

test("a cancel that loses the race leaves the true result", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using _worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  job.started();
  await hub.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
  await job.exit({ exitCode: 0 });
  assert.equal((await hub.wait(id)).state, "succeeded");
});

test("a pending cancel comes with every heartbeat until the job ends", async () => {
  await using hub = await TestHub.start({ intervals: { heartbeatMs: 20 } });
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  await hub.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
  await eventually(() =>
    worker.of("heartbeat.ack").some((ack) => ack.cancelled.some((ref) => ref.lease === id)),
  );
  await job.exit({ reason: "cancelled", exitCode: null });
  assert.equal((await hub.wait(id)).state, "cancelled");
});

test("a job over its deadline is stopped by the hub as well", async () => {
  await using hub = await TestHub.start({ intervals: { graceMs: 50, leaseMs: 400 } });
  const jobs = held();
  await using _worker = await workerOf(hub, { run: jobs.run });
  await hub.submit({ timeout: "50ms" });
  const job = await jobs.next();
  job.started();
  assert.equal(await job.cancelled.promise, "timeout");
  await job.exit({ reason: "timeout", exitCode: null });
});
