import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { HostPoint } from "../../../src/loadtest/host.ts";
import { leakCount, uncheckedLeaks } from "../../../src/loadtest/leaks.ts";
import { renderPage } from "../../../src/loadtest/page/page.ts";
import { at, quantiles } from "../../../src/loadtest/quantiles.ts";
import { held, makeReport } from "../../../src/loadtest/report.ts";
import { peaks, slice } from "../../../src/loadtest/series.ts";
import { stageOf } from "../../../src/loadtest/stages.ts";
import { figures, ms, reportTables, verdict } from "../../../src/loadtest/text.ts";
import { record, run } from "./samples.ts";

const clean = { ...uncheckedLeaks(""), unchecked: null, processes: 0 };

test("known latencies give known percentiles, and the slowest of all is among them", () => {
  const records = Array.from({ length: 1_000 }, (_, n) => record(n, n + 1));
  const { latency } = makeReport(run(records));
  assert.deepEqual(latency.total, {
    n: 1_000,
    p50: 500,
    p90: 900,
    p99: 990,
    p999: 999,
    max: 1_000,
    mean: 500.5,
  });
  assert.equal(latency.firstByte?.p99, 495);
  assert.equal(latency.create, null);
  assert.equal(latency.adopt?.n, 1_000);
});

test("a percentile is the least sample that its share of all samples does not exceed", () => {
  const sample = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(sample, fc.integer({ min: 1, max: 1_000 }), (samples, perMille) => {
      const sorted = samples.toSorted((a, b) => a - b);
      const value = at(sorted, perMille / 1_000);
      const least = sorted.find(
        (one) => sorted.filter((other) => other <= one).length * 1_000 >= perMille * sorted.length,
      );
      assert.equal(value, least);
    }),
  );
  assert.equal(quantiles([]), null);
});

test("every stage of a job is told from its own times, and a stage it skipped is not told", () => {
  const job = record(10, 0, {
    sentAt: 15,
    queuedAt: 18,
    startedAt: 60,
    firstByteAt: 62,
    finishedAt: 110,
    end: {
      timings: { queuedMs: 20, startMs: 22, runMs: 30, warm: false },
      usage: { cpuMs: 0, maxRssBytes: 0 },
      calls: 0,
    },
  });
  const told = (
    ["wait", "submit", "queue", "adopt", "create", "run", "exit", "firstByte", "total"] as const
  ).map((stage) => stageOf(job, stage));
  assert.deepEqual(told, [5, 3, 20, undefined, 22, 30, 20, 52, 100]);
  const lost = record(0, 50, { startedAt: null, firstByteAt: null, end: null, failure: "hub_unreachable" });
  assert.equal(stageOf(lost, "run"), undefined);
  assert.equal(stageOf(lost, "total"), 50);
});

test("failures are counted by reason, most first, and are no part of the latency of those that succeeded", () => {
  const bad = (at: number, failure: string): ReturnType<typeof record> =>
    record(at, 1, { failure, message: `${failure}!` });
  const report = makeReport(
    run([
      record(0, 100),
      bad(1, "timeout"),
      bad(2, "oom"),
      bad(3, "timeout"),
      bad(4, "timeout"),
      bad(5, "timeout"),
    ]),
  );
  assert.deepEqual(report.failures, [
    { reason: "timeout", count: 4, message: "timeout!", jobs: ["job_1", "job_3", "job_4"] },
    { reason: "oom", count: 1, message: "oom!", jobs: ["job_2"] },
  ]);
  assert.equal(report.latency.total?.n, 1);
  assert.equal(report.failedLatency?.n, 5);
  assert.equal(held(report), false);
  assert.match(verdict(report), /^NOT held: 1\/6 jobs succeeded/);
  assert.equal(reportTables(report).length, 3);
});

test("peaks are the most at one time; one that ends as another begins makes room for it", () => {
  const records = [record(0, 100), record(50, 100), record(100, 100), record(300, 10)];
  assert.deepEqual(peaks(records), { outstanding: 2, running: 1 });
});

test("slices cover the whole run: every arrival, end and start is in one of them", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(5_000), fc.nat(5_000), fc.boolean()), { minLength: 1, maxLength: 200 }),
      (jobs) => {
        const records = jobs.map(([at, took, ok]) => record(at, took, { failure: ok ? null : "oom" }));
        const elapsedMs = Math.max(1, ...records.map((job) => job.finishedAt));
        const slices = slice(records, elapsedMs, [0, elapsedMs]);
        const sum = (of: "arrivals" | "succeeded" | "failed" | "warm"): number =>
          Math.round(slices.reduce((total, part) => total + (part[of] * (part.to - part.from)) / 1_000, 0));
        assert.equal(sum("arrivals"), records.length);
        assert.equal(sum("succeeded") + sum("failed"), records.length);
        assert.equal(sum("warm"), records.length);
        assert.equal(Math.max(...slices.map((part) => part.outstanding)), peaks(records).outstanding);
        assert.equal(slices.at(-1)?.to.toFixed(6), elapsedMs.toFixed(6));
      },
    ),
  );
});

test("only sandboxes made while jobs ran count as creates, and none is claimed where the engine is not seen", () => {
  const start = new Date("2026-01-02T03:04:05.000Z").getTime();
  const seen = [null, start - 5, start + 5, start + 999, start + 5_000].map((madeAt, n) => ({
    id: String(n),
    madeAt,
  }));
  const report = makeReport(run([record(0, 10)], { view: { seen, complete: true }, leaks: clean }));
  assert.equal(report.sandboxes.made, 2);
  assert.equal(report.rates.createsPerS, 2);
  assert.equal(held(report), true);
  const blind = makeReport(run([record(0, 10)]));
  assert.equal(blind.rates.createsPerS, null);
  assert.match(verdict(blind), /left behind: not known \(no engine\)/);
  assert.equal(held(blind), true);
});

test("anything left behind means it did not hold", () => {
  for (const what of ["sandboxes", "volumes", "networks", "processes"] as const) {
    const leaks = { ...clean, [what]: 1 };
    assert.equal(leakCount(leaks), 1);
    assert.equal(held(makeReport(run([record(0, 10)], { leaks }))), false);
  }
});

test("durations are written in the unit that reads best", () => {
  assert.deepEqual([0, 0.004, 9.99, 12.34, 99.9, 100, 999.4, 1_234, 65_000].map(ms), [
    "0.00ms",
    "0.00ms",
    "9.99ms",
    "12.3ms",
    "99.9ms",
    "100ms",
    "999ms",
    "1.23s",
    "65.0s",
  ]);
});

const point = (busy: number, waiting: number | null): HostPoint => ({
  at: 250,
  user: busy / 2,
  system: busy / 2,
  iowait: 0,
  memoryUsedBytes: 1,
  generator: 0.1,
  waiting,
});

test("a host is called saturated when its processors are busy, waited for, or late to answer", () => {
  const late = { p50: 1, p99: 51, max: 90 };
  const of = (hostPoints: HostPoint[], loopDelayMs = { p50: 0, p99: 1, max: 2 }): unknown =>
    makeReport(run([record(0, 10)], { hostPoints, loopDelayMs })).responsiveness;
  assert.deepEqual(of([]), { busy: null, waiting: null, saturated: false });
  assert.deepEqual(of([point(0.25, 0.1), point(0.75, 0.3)]), { busy: 0.5, waiting: 0.2, saturated: false });
  assert.deepEqual(of([point(0.5, null)]), { busy: 0.5, waiting: null, saturated: false });
  assert.deepEqual(of([point(1, null)]), { busy: 1, waiting: null, saturated: true });
  assert.deepEqual(of([point(0.5, 0.75)]), { busy: 0.5, waiting: 0.75, saturated: true });
  assert.deepEqual(of([], late), { busy: null, waiting: null, saturated: true });
});

test("responsiveness is told in the text and on the page, with what it rests on", () => {
  const late = { p50: 1, p99: 60, max: 90 };
  const report = makeReport(run([record(0, 10)], { hostPoints: [point(1, 0.5)], loopDelayMs: late }));
  const [, told] = figures(report).find(([name]) => name === "responsiveness") ?? [];
  assert.match(told ?? "", /^SATURATED: .*p99 60\.0ms.*waited for a processor 50\.0 % of the time/);
  const page = renderPage(report);
  assert.match(page, /timers late p99<\/dt><dd class="bad">60\.0ms/);
  assert.match(page, /Want of processors/);
  const unread = makeReport(run([record(0, 10)], { hostPoints: [point(1, null)] }));
  assert.doesNotMatch(renderPage(unread), /Want of processors/);
});
