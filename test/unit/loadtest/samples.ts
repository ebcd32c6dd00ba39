import type { JobEnd, JobRecord, Load } from "../../../src/loadtest/contract.ts";
import { uncheckedLeaks } from "../../../src/loadtest/leaks.ts";
import type { Run } from "../../../src/loadtest/report.ts";

export function load(overrides: Partial<Load> = {}): Load {
  return { concurrency: 1, total: 10, durationMs: Infinity, ratePerS: null, ...overrides };
}

export function end(overrides: Partial<JobEnd> = {}): JobEnd {
  return {
    state: "succeeded",
    reason: "exited",
    exitCode: 0,
    signal: null,
    timings: { queuedMs: 1, startMs: 2, runMs: 3, warm: true },
    usage: { cpuMs: 1, maxRssBytes: 1_024 },
    calls: 0,
    error: null,
    ...overrides,
  };
}

/** A job due at `at` that took `took` ms. */
export function record(at: number, took: number, overrides: Partial<JobRecord> = {}): JobRecord {
  const { timings, usage, calls } = end();
  return {
    index: at,
    id: `job_${at}`,
    scheduledAt: at,
    sentAt: at,
    queuedAt: at,
    leasedAt: at,
    startedAt: at + took / 2,
    firstByteAt: at + took / 2,
    finishedAt: at + took,
    failure: null,
    message: null,
    end: { timings, usage, calls },
    ...overrides,
  };
}

export function run(records: JobRecord[], overrides: Partial<Run> = {}): Run {
  return {
    load: load(),
    job: { profile: "fanout", language: "python", code: "print(1)" },
    hub: "http://127.0.0.1:1",
    startedAt: new Date("2026-01-02T03:04:05.000Z"),
    elapsedMs: 1_000,
    interrupted: false,
    workers: [{ id: "worker-1", version: "1", held: 0, warm: {}, profiles: ["fanout"] }],
    records,
    view: null,
    host: { processor: "P", processors: 2, memoryBytes: 2 ** 30, system: "Linux", node: "v24" },
    hostPoints: [],
    loopDelayMs: { p50: 0, p99: 1, max: 2 },
    leaks: uncheckedLeaks("no engine"),
    ...overrides,
  };
}
