import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import {
  eventsOf,
  get,
  printed,
  printMuch,
  submitAndFollow,
  wholeStderr,
  wholeStdout,
} from "../helpers/hub-output.ts";
import { workerOf } from "../helpers/hub-workers.ts";
import { bytesOf, sseEvents, TestHub, type SeenEvent } from "../helpers/hub.ts";
import { storeWith } from "../helpers/store.ts";

/** Its epoch hangs on whether the job was handed over with the commit that took it. */
const firstAttempt = /^1\.[12]:0$/;

test("events come in order, byte-exact, and what a job prints cannot pose as one", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, { run: printMuch });
  const { id } = await hub.submit();
  const events = await eventsOf(hub, id);
  assert.deepEqual(
    events.map((entry) => entry.event),
    ["queued", "leased", "started", "stdout", "stderr", "stdout", "stdout", "stdout", "stderr", "finished"],
  );
  assert.deepEqual(printed(events, "stdout"), wholeStdout);
  assert.deepEqual(printed(events, "stderr"), wholeStderr);
  assert.equal(events.at(-1)?.data.result.exitCode, 3);
  const offsets = events.filter((entry) => entry.event === "stdout").map((entry) => entry.data.offset);
  assert.deepEqual(offsets, [0, 6, 7, 8]);
  assert.equal(events[0]?.id, "0.0:0");
  assert.match(events[1]?.id ?? "", firstAttempt);
  assert.match(events.at(-1)?.id ?? "", /^1\.[12]:\d+:end$/);
});

test("resuming behind any event gives exactly the rest; behind the last there is nothing", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, { run: printMuch });
  const { id } = await hub.submit();
  const all = await eventsOf(hub, id);
  for (const [at, event] of all.entries()) {
    assert.deepEqual(await eventsOf(hub, id, event.id), all.slice(at + 1), event.id);
  }
  assert.equal((await get(hub, `/v1/jobs/${id}/events?lastEventId=${all.at(-1)?.id}`)).status, 204);
  assert.equal((await get(hub, `/v1/jobs/${id}/events`, { "last-event-id": "junk" })).status, 400);
});

test("an id of a grant that was never recorded leads to all of the attempt that has its number", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, { run: printMuch });
  const { id } = await hub.submit();
  const all = await eventsOf(hub, id);
  assert.deepEqual(await eventsOf(hub, id, "1.7:90"), all.slice(1));
  const behind = await eventsOf(hub, id, "2.2:0");
  assert.deepEqual(
    behind.map(({ event }) => event),
    ["finished"],
  );
});

test("what is printed is read before the store has taken the lease and the output", async () => {
  const disk = deferred<void>();
  await using hub = await TestHub.start({
    wrapStore: (store) =>
      storeWith(store, {
        leases: {
          ...store.leases,
          accept: async (...args) => {
            await disk.promise;
            return await store.leases.accept(...args);
          },
        },
      }),
  });
  await using _worker = await workerOf(hub, { run: printMuch });
  const seen: SeenEvent[] = [];
  for await (const event of sseEvents(await submitAndFollow(hub))) {
    seen.push(event);
    if (printed(seen, "stderr").equals(wholeStderr)) disk.resolve();
  }
  assert.deepEqual(printed(seen, "stdout"), wholeStdout);
  const leased = seen.filter(({ event }) => event === "leased").map(({ id }) => id ?? "");
  assert.equal(leased.length, 1);
  assert.match(leased[0] ?? "", firstAttempt);
});

test("a submission can be answered by its own events, live", async () => {
  await using hub = await TestHub.start();
  const printMore = deferred<void>();
  await using _worker = await workerOf(hub, {
    run: async (job) => {
      job.started();
      job.print("stdout", "first");
      await printMore.promise;
      job.print("stdout", "second");
      await job.exit();
    },
  });
  const response = await submitAndFollow(hub);
  assert.equal(response.status, 200);
  const id = response.headers.get("x-job-id");
  assert.equal(response.headers.get("location"), `/v1/jobs/${id}`);
  assert.notEqual(response.headers.get("x-request-id"), null);
  const seen: string[] = [];
  for await (const event of sseEvents(response)) {
    seen.push(event.event === "stdout" ? bytesOf(event).toString() : event.event);
    if (seen.at(-1) === "first") printMore.resolve();
  }
  assert.deepEqual(seen, ["queued", "leased", "started", "first", "second", "finished"]);
});
