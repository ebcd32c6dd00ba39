/** Clocks that are set, and what does not hang on them. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { silentLog } from "../../src/log.ts";
import { assembleHub } from "../../src/roles/assemble-hub.ts";
import { eventually, TestHub, type JobReply } from "../helpers/hub.ts";
import { SimulatedWorker, type SimulatedJob } from "../helpers/simulated-worker.ts";

/** A worker that starts the one job it is given, which ends when the test says so. */
async function holding(
  hub: TestHub,
): Promise<{ worker: SimulatedWorker; next: () => Promise<SimulatedJob> }> {
  const jobs: SimulatedJob[] = [];
  const run = async (job: SimulatedJob): Promise<void> => void jobs.push(job);
  const worker = await SimulatedWorker.start({ url: hub.url, token: hub.workerToken, run });
  return { worker, next: () => eventually(() => jobs.shift()) };
}

test("a wall clock that is set, of a hub or of a worker, ends no lease and no job before its time", async (t) => {
  await using hub = await TestHub.start({ intervals: { leaseMs: 1_000, selfStopMs: 900, heartbeatMs: 300 } });
  const dayMs = 86_400_000;
  const { worker, next } = await holding(hub);
  await using _worker = worker;
  const { id } = await hub.submit({ timeout: "1m" });
  const job = await next();
  job.started(Date.now() - dayMs);
  await eventually(async () => (await hub.wait(id, "1ms")).state === "running");
  worker.vanish();
  await worker.connect();
  const { now } = Date;
  t.mock.method(Date, "now", () => now() + dayMs);
  const looked = await looks(hub);
  await eventually(async () => (await looks(hub)) >= looked + 2);
  t.mock.restoreAll();
  assert.deepEqual([(await hub.wait(id, "1ms")).state, worker.of("lease.cancel")], ["running", []]);
});

/** How often the hub looked at what time has ended */
async function looks(hub: TestHub): Promise<number> {
  const { text } = await hub.call("/metrics");
  return Number(/dispatch_wakes_total\{reason="timer"\} (\d+)/.exec(text)?.[1] ?? 0);
}

test("a start dated by a clock that is far off is shown to who watches the job as it was recorded", async () => {
  await using hub = await TestHub.start();
  for (const [at, shown] of [
    [1e300, "9999-12-31T23:59:59.999Z"],
    [-5.5, "1970-01-01T00:00:00.000Z"],
  ] as const) {
    const { worker, next } = await holding(hub);
    await using _worker = worker;
    const { id } = await hub.submit();
    const over = hub.wait(id);
    const job = await next();
    await eventually(async () => (await hub.call("/metrics")).text.includes("sallyport_watched_jobs 1"));
    job.started(at);
    await eventually(async () => (await hub.call(`/v1/jobs/${id}`)).json.state !== "leased");
    const watched = await hub.call(`/v1/jobs/${id}`);
    assert.equal(watched.status, 200, watched.text);
    await job.exit();
    const { attempts } = await over;
    assert.equal((watched.json as unknown as JobReply).attempts[0]?.startedAt, shown);
    assert.equal(attempts[0]?.startedAt, shown);
  }
});

test("a clock that was set while the hub was down ends no lease of a worker that lives", async () => {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-clock-"));
  await using _dir = { [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
  await using before = await TestHub.start({ dir });
  const { worker, next } = await holding(before);
  await using _worker = worker;
  const { id } = await before.submit({ retry: { maxAttempts: 3 } });
  const job = await next();
  job.started();
  await eventually(async () => (await before.wait(id, "1ms")).state === "running");
  await before.stop();
  using store = new DatabaseSync(join(dir, "store.db"));
  store.exec("UPDATE workers SET lease_until = 1");

  const options = { host: "127.0.0.1", port: 0 };
  await using after = await assembleHub({ stateDir: dir, database: null }, options, silentLog());
  const read = async (wait: string): Promise<JobReply> => {
    const headers = { authorization: `Bearer ${before.adminKey}` };
    return (await (
      await fetch(`${after.hub.url}/v1/jobs/${id}?wait=${wait}`, { headers })
    ).json()) as JobReply;
  };
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.equal((await read("1ms")).state, "running", "time was there to look at what is over");
  await worker.connect(after.hub.url);
  await job.exit();
  const ended = await read("20s");
  assert.deepEqual([ended.state, ended.attempts.length], ["succeeded", 1]);
});
