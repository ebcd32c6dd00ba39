import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { keepBuffersShortLived } from "../../src/heap.ts";
import { eventsOf, get, printed } from "../helpers/hub-output.ts";
import { workerOf } from "../helpers/hub-workers.ts";
import { eventually, sseEvents, TestHub } from "../helpers/hub.ts";
import { SimulatedWorker, type SimulatedJob } from "../helpers/simulated-worker.ts";

test("a reader that does not read neither stalls the job and other readers nor makes the hub keep output for it", async () => {
  keepBuffersShortLived();
  await using hub = await TestHub.start();
  const total = 160 * 2 ** 20;
  const block = randomBytes(2 ** 16);
  await using _worker = await workerOf(hub, {
    run: async (job) => {
      for (let sent = 0; sent < total; sent += block.length) await job.stream("stdout", block);
      await job.exit();
    },
  });
  const stop = new AbortController();
  const { id } = await hub.submit();
  const stuck = [
    await get(hub, `/v1/jobs/${id}/events`, {}, stop.signal),
    await get(hub, `/v1/jobs/${id}/stdout?follow`, {}, stop.signal),
  ];
  const before = process.memoryUsage();
  let most = 0;
  const watch = setInterval(() => {
    const now = process.memoryUsage();
    most = Math.max(most, now.external + now.heapUsed - before.external - before.heapUsed);
  }, 20);
  const ended = await hub.wait(id, "60s");
  clearInterval(watch);
  assert.equal(ended.state, "succeeded");
  assert.equal(ended.result?.output.stdoutBytes, total);
  assert.ok(most < 64 * 2 ** 20, `${most} bytes more`);
  stop.abort();
  await Promise.allSettled(stuck.map((response) => response.text()));
});

test("an event that no reader could make out is refused, and what came before it stays readable", async () => {
  await using hub = await TestHub.start();
  const refused = deferred<unknown>();
  await using _worker = await workerOf(hub, {
    run: async (job) => {
      job.started();
      job.print("stdout", "before");
      await eventually(() => job.acked === job.log.length);
      job.print("event", "{");
      refused.resolve(await job.flush().catch((error: unknown) => error));
    },
  });
  const { id } = await hub.submit();
  const response = await get(hub, `/v1/jobs/${id}/events`);
  const seen: string[] = [];
  for await (const { event } of sseEvents(response)) {
    seen.push(event);
    if (event === "stdout") break;
  }
  assert.deepEqual(seen, ["queued", "leased", "started", "stdout"]);
  assert.match(String(await refused.promise), /event does not hold its JSON/);
  assert.equal((await get(hub, `/v1/jobs/${id}/stdout`)).status, 200);
});

test("a hub restarted in the middle of the output goes on where it was, and nothing is lost or doubled", async () => {
  await using first = await TestHub.start();
  const resume = deferred<void>();
  const held = deferred<SimulatedJob>();
  await using worker = await workerOf(first, {
    run: async (job) => {
      job.started();
      job.print("stdout", "before ");
      held.resolve(job);
      await resume.promise;
      job.print("stdout", "after");
    },
  });
  const { id } = await first.submit();
  const job = await held.promise;
  const response = await get(first, `/v1/jobs/${id}/events`);
  let last = "";
  for await (const event of sseEvents(response)) {
    last = event.id;
    if (event.event === "stdout") break;
  }
  await first.stop();
  job.print("stdout", "during ");
  await using second = await TestHub.start({ dir: first.dir });
  const welcome = await worker.connect(second.url);
  assert.deepEqual(
    welcome.verdicts.map(({ lease, verdict }) => [lease, verdict]),
    [[id, "continue"]],
  );
  resume.resolve();
  const rest = eventsOf(second, id, last);
  await eventually(() => job.log.includes("after"));
  await job.exit();
  const ended = await second.wait(id);
  assert.equal(ended.state, "succeeded");
  assert.equal(ended.attempts.length, 1);
  assert.equal((await second.call(`/v1/jobs/${id}/stdout`)).text, "before during after");
  assert.equal(printed(await rest, "stdout").toString(), "during after");
});

test("a channel cut again and again while a job prints loses and doubles nothing", async () => {
  await using hub = await TestHub.start();
  const held = deferred<SimulatedJob>();
  await using worker = await workerOf(hub, { run: async (job) => held.resolve(job) });
  const { id } = await hub.submit();
  const job = await held.promise;
  job.started();
  const events = eventsOf(hub, id);
  const content = randomBytes(1_500_000);
  for (let at = 0, piece = 1; at < content.length; at += piece) {
    piece = 1 + Math.floor(Math.random() * 60_000);
    job.print("stdout", content.subarray(at, at + piece));
    if (piece % 3 !== 0) continue;
    if (piece % 2 === 0) await eventually(() => job.acked > job.log.length / 2);
    worker.vanish();
    await worker.connect();
  }
  assert.equal(await job.exit(), "recorded");
  const seen = await events;
  assert.ok(printed(seen, "stdout").equals(content));
  const stored = await get(hub, `/v1/jobs/${id}/stdout`);
  assert.ok(Buffer.from(await stored.arrayBuffer()).equals(content));
  assert.equal((await hub.wait(id)).attempts.length, 1);
});

test("a reader follows a job across its attempts", async () => {
  await using hub = await TestHub.start({ intervals: { leaseMs: 300, heartbeatMs: 50 } });
  const lost = await workerOf(hub, {
    run: async (job) => {
      job.started();
      job.print("stdout", "one");
    },
  });
  const { id } = await hub.submit({ retry: { maxAttempts: 2 } });
  const events = eventsOf(hub, id);
  const raw = get(hub, `/v1/jobs/${id}/stdout?follow`).then((response) => response.text());
  await eventually(async () => (await hub.call(`/v1/jobs/${id}/stdout`)).text === "one");
  lost.vanish();
  await using _next = await SimulatedWorker.start({
    url: hub.url,
    token: hub.workerToken,
    workerId: "worker-2",
    run: async (job) => {
      job.started();
      job.print("stdout", "two");
      await job.exit();
    },
  });
  const seen = await events;
  assert.deepEqual(
    seen.map((entry) => entry.event),
    ["queued", "leased", "started", "stdout", "leased", "started", "stdout", "finished"],
  );
  const printed = seen.filter((entry) => entry.event === "stdout");
  const places = printed.map(({ id: place }) => place.split(/[.:]/).map(Number));
  assert.deepEqual(
    printed.map(({ data }, at) => [places[at]?.[0], data.offset]),
    [
      [1, 0],
      [2, 0],
    ],
  );
  // which of its offers a worker took decides about the numbers
  assert.ok(Number(places[1]?.[1]) > Number(places[0]?.[1]), "a later epoch");
  assert.equal(await raw, "onetwo");
  assert.equal((await hub.call(`/v1/jobs/${id}/stdout?attempt=1`)).text, "one");
  for (const [at, event] of seen.entries())
    assert.deepEqual(await eventsOf(hub, id, event.id), seen.slice(at + 1));
});
