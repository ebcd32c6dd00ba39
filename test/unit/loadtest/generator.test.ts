import assert from "node:assert/strict";
import { test } from "node:test";
import { Notifier } from "../../../src/async/index.ts";
import type { JobEnd, Target } from "../../../src/loadtest/contract.ts";
import { generate } from "../../../src/loadtest/generator.ts";
import { Jobs } from "../../../src/loadtest/jobs.ts";
import { quantiles } from "../../../src/loadtest/quantiles.ts";
import { samplesOf } from "../../../src/loadtest/stages.ts";
import { SallyportError } from "../../../src/errors.ts";
import { end, load } from "./samples.ts";
import { VirtualClock } from "./virtual-clock.ts";

const never = new AbortController().signal;

/** A hub that takes `tookMs(nth, now)` for each job. */
function target(
  clock: VirtualClock,
  tookMs: (nth: number, now: number) => number,
): Target & { cancelled: string[] } {
  let count = 0;
  const cancelled: string[] = [];
  return {
    cancelled,
    run: async (watch, signal): Promise<JobEnd> => {
      const nth = (count += 1);
      watch.accepted(`job_${nth}`);
      watch.saw("queued");
      await clock.sleep(tookMs(nth, clock.now()), signal);
      watch.saw("started");
      watch.saw("stdout");
      watch.saw("finished");
      return end();
    },
    cancel: async (id) => cancelled.push(id),
  };
}

test("closed loop: so many callers, each waiting for its answer, and no job more than the total", async () => {
  const clock = new VirtualClock();
  const jobs = new Jobs({ target: target(clock, () => 100), clock }, never);
  let most = 0;
  const launch = (index: number, at: number): Promise<boolean> => {
    const launched = jobs.launch(index, at);
    most = Math.max(most, jobs.outstanding);
    return launched;
  };
  await clock.run(generate({ clock, launch }, load({ concurrency: 4, total: 10 }), never));
  assert.equal(most, 4);
  assert.equal(clock.now(), 300);
  assert.deepEqual(
    jobs.records.map(({ scheduledAt, finishedAt }) => [scheduledAt, finishedAt]),
    [0, 0, 0, 0, 100, 100, 100, 100, 200, 200].map((at) => [at, at + 100]),
  );
});

test("closed loop: --duration ends the arrivals, not the jobs", async () => {
  const clock = new VirtualClock();
  const jobs = new Jobs({ target: target(clock, () => 300), clock }, never);
  await clock.run(
    generate({ clock, launch: jobs.launch }, load({ total: Infinity, durationMs: 1_000 }), never),
  );
  assert.deepEqual(
    jobs.records.map((job) => job.scheduledAt),
    [0, 300, 600, 900],
  );
  assert.equal(clock.now(), 1_200);
});

test("open loop: arrivals keep their schedule while the hub stalls, and the stall is in the percentiles", async () => {
  const clock = new VirtualClock();
  // A job takes 10 ms, but those sent during the second second are answered only at its end.
  const stalling = (_nth: number, now: number): number =>
    (now >= 1_000 && now < 2_000 ? 2_000 - now : 0) + 10;
  const jobs = new Jobs({ target: target(clock, stalling), clock }, never);
  const open = load({ ratePerS: 100, total: 400, concurrency: 1_000 });
  await clock.run(generate({ clock, launch: jobs.launch }, open, never));
  const scheduled = jobs.records.map((job) => job.scheduledAt).sort((a, b) => a - b);
  assert.deepEqual(
    scheduled,
    Array.from({ length: 400 }, (_, n) => n * 10),
  );
  assert.ok(jobs.records.every((job) => job.sentAt === job.scheduledAt));
  // A quarter of all jobs met the stall: 10 ms for 300, then 20, 30, … 1010 ms for 100.
  const latency = quantiles(samplesOf(jobs.records, "total"));
  assert.deepEqual(latency, {
    n: 400,
    p50: 10,
    p90: 610,
    p99: 970,
    p999: 1_010,
    max: 1_010,
    mean: (300 * 10 + 51_500) / 400,
  });
});

test("open loop: an arrival beyond the cap waits here, and its latency is counted from when it was due", async () => {
  const clock = new VirtualClock();
  const jobs = new Jobs({ target: target(clock, (nth) => (nth <= 2 ? 1_000 : 10)), clock }, never);
  await clock.run(
    generate({ clock, launch: jobs.launch }, load({ ratePerS: 10, total: 6, concurrency: 2 }), never),
  );
  const byIndex = jobs.records.toSorted((a, b) => a.index - b.index);
  assert.deepEqual(
    byIndex.map((job) => job.scheduledAt),
    [0, 100, 200, 300, 400, 500],
  );
  assert.deepEqual(
    byIndex.map((job) => job.sentAt),
    [0, 100, 1_000, 1_010, 1_020, 1_030],
  );
  assert.equal(samplesOf(byIndex, "total")[2], 810);
  assert.equal(samplesOf(byIndex, "wait")[2], 800);
});

test("open loop: --duration bounds what is due", async () => {
  const clock = new VirtualClock();
  const jobs = new Jobs({ target: target(clock, () => 1), clock }, never);
  await clock.run(
    generate(
      { clock, launch: jobs.launch },
      load({ ratePerS: 4, total: Infinity, durationMs: 1_000, concurrency: 9 }),
      never,
    ),
  );
  assert.deepEqual(
    jobs.records.map((job) => job.scheduledAt),
    [0, 250, 500, 750],
  );
});

test("stopped: nothing more is launched, and what is outstanding is cancelled, what was just being accepted too", async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const cancelled = new Set<string>();
  const wake = new Notifier();
  let accept: (() => void) | undefined;
  const hub: Target = {
    run: async (watch) => {
      if (accept === undefined) await new Promise<void>((resolve) => (accept = resolve));
      const id = `job_${cancelled.size}_${accept === undefined}`;
      watch.accepted(id);
      while (!cancelled.has(id)) await wake.wait();
      return end({ state: "cancelled", reason: "cancelled", exitCode: null });
    },
    cancel: async (id) => {
      cancelled.add(id);
      wake.notify();
    },
  };
  const jobs = new Jobs({ target: hub, clock }, never);
  const generated = generate(
    { clock, launch: jobs.launch },
    load({ concurrency: 2, total: 50 }),
    stop.signal,
  );
  stop.abort(new Error("enough"));
  jobs.cancelAll();
  accept?.();
  await generated;
  assert.equal(jobs.records.length, 2);
  assert.deepEqual(
    jobs.records.map((job) => job.failure),
    ["cancelled", "cancelled"],
  );
});

test("failures are told by what they have in common; a caller whom no hub answers rests before it tries again", async () => {
  const clock = new VirtualClock();
  const ends: (() => JobEnd)[] = [
    () => end({ state: "failed", exitCode: 3 }),
    () => end({ state: "failed", reason: "signaled", exitCode: null, signal: "SIGSEGV" }),
    () => end({ state: "timed_out", reason: "timeout", exitCode: null }),
    () =>
      end({
        state: "failed",
        reason: "never_started",
        exitCode: null,
        error: { code: "engine_failed", message: "no disk" },
      }),
    () => {
      throw new SallyportError("queue_full", "1000 jobs wait");
    },
    () => {
      throw new SallyportError("hub_unreachable", "connection reset");
    },
    () => end(),
  ];
  let nth = 0;
  const hub: Target = {
    run: async () => (ends[nth++] ?? assert.fail("a job too many"))(),
    cancel: async () => undefined,
  };
  const jobs = new Jobs({ target: hub, clock }, never);
  await clock.run(generate({ clock, launch: jobs.launch }, load({ total: ends.length }), never));
  assert.deepEqual(
    jobs.records.map(({ failure, message }) => [failure, message]),
    [
      ["exited 3", null],
      ["signaled SIGSEGV", null],
      ["timeout", null],
      ["never_started: engine_failed", "no disk"],
      ["queue_full", "1000 jobs wait"],
      ["hub_unreachable", "connection reset"],
      [null, null],
    ],
  );
  assert.equal(clock.now(), 100);
});
