import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../src/errors.ts";
import { held, workerOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub } from "../helpers/hub.ts";

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

test("a hub that takes no more jobs goes on with those that are there, and with whoever follows them", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using _worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  const following = hub.call(`/v1/jobs/${id}/events`);
  hub.hub.takeNoMore();
  const refused = await hub.call("/v1/jobs", { method: "POST", json: { profile: "shell", command: ["x"] } });
  assert.deepEqual([refused.status, refused.json.error.code], [503, "hub_draining"]);
  assert.match((await hub.call("/readyz", { key: null })).text, /hub_draining/);
  assert.equal(await job.exit(), "recorded");
  assert.match((await following).text, /event: finished/);
});
