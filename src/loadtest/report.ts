/** What a run says, as plain data: the terminal's table, the JSON and the page are made from it. */
import type { EngineView, FleetWorker, JobRecord, Load } from "./contract.ts";
import type { HostFacts, HostPoint } from "./host.ts";
import { leakCount, type LeakReport } from "./leaks.ts";
import { largest, quantiles, type Quantiles } from "./quantiles.ts";
import { peaks, slice, type Slice } from "./series.ts";
import { samplesOf, stageNames, type StageName } from "./stages.ts";

export interface Failure {
  reason: string;
  count: number;
  /** Of the first one */
  message: string | null;
  /** Ids of the first few */
  jobs: string[];
}

export interface Report {
  format: 1;
  startedAt: string;
  /** From the start until the last job was over, `ms` */
  elapsedMs: number;
  /** Stopped before all jobs had arrived */
  interrupted: boolean;
  mode: "closed loop" | "open loop";
  /** What was asked for; null where there was no bound */
  load: { concurrency: number; total: number | null; durationMs: number | null; ratePerS: number | null };
  /** The job, as it was submitted */
  job: { profile: string } & Record<string, unknown>;
  hub: string;
  workers: { id: string; version: string | null }[];
  host: HostFacts;
  jobs: { finished: number; succeeded: number; failed: number };
  failures: Failure[];
  /** Of the jobs that succeeded; null for stages none went through */
  latency: Record<StageName, Quantiles | null>;
  /** `total` of those that failed */
  failedLatency: Quantiles | null;
  rates: { jobsPerS: number; createsPerS: number | null };
  sandboxes: {
    /** jobs that got a warm one */
    warm: number;
    /** jobs one was made for */
    cold: number;
    /** Made by the workers during the run, for jobs and pools; null where the engine cannot be seen */
    made: number | null;
    /** The engine's word was interrupted: there may have been more */
    incomplete: boolean;
  };
  /** MCP calls that jobs made */
  calls: number;
  peak: { outstanding: number; running: number; maxRssBytes: number };
  generator: { loopDelayMs: { p50: number; p99: number; max: number }; busiest: number };
  /** How this host answers under the load, shares over the whole run; null where they cannot be read */
  responsiveness: { busy: number | null; waiting: number | null; saturated: boolean };
  leaks: LeakReport;
  slices: Slice[];
  hostPoints: HostPoint[];
  records: readonly JobRecord[];
}

export interface Run {
  load: Load;
  job: Report["job"];
  hub: string;
  startedAt: Date;
  elapsedMs: number;
  interrupted: boolean;
  workers: readonly FleetWorker[];
  records: readonly JobRecord[];
  view: Pick<EngineView, "seen" | "complete"> | null;
  host: HostFacts;
  hostPoints: HostPoint[];
  loopDelayMs: Report["generator"]["loopDelayMs"];
  leaks: LeakReport;
}

export function makeReport(run: Run): Report {
  const { load, records, elapsedMs, startedAt } = run;
  const good = records.filter((job) => job.failure === null);
  const bad = records.filter((job) => job.failure !== null);
  const begun = records.filter((job) => job.startedAt !== null && job.end !== null);
  const madeAt = madeTimes(run);
  const warm = begun.filter((job) => job.end?.timings.warm === true).length;
  const perSecond = (count: number): number => (elapsedMs === 0 ? 0 : (count * 1_000) / elapsedMs);
  return {
    format: 1,
    startedAt: startedAt.toISOString(),
    elapsedMs,
    interrupted: run.interrupted,
    mode: load.ratePerS === null ? "closed loop" : "open loop",
    load: {
      concurrency: load.concurrency,
      total: bound(load.total),
      durationMs: bound(load.durationMs),
      ratePerS: load.ratePerS,
    },
    job: run.job,
    hub: run.hub,
    workers: run.workers.map(({ id, version }) => ({ id, version })),
    host: run.host,
    jobs: { finished: records.length, succeeded: good.length, failed: bad.length },
    failures: failuresOf(bad),
    latency: Object.fromEntries(
      stageNames.map((stage) => [stage, quantiles(samplesOf(good, stage))]),
    ) as Report["latency"],
    failedLatency: quantiles(samplesOf(bad, "total")),
    rates: { jobsPerS: perSecond(good.length), createsPerS: madeAt && perSecond(madeAt.length) },
    sandboxes: {
      warm,
      cold: begun.length - warm,
      made: madeAt && madeAt.length,
      incomplete: run.view?.complete === false,
    },
    calls: records.reduce((sum, { end }) => sum + (end?.calls ?? 0), 0),
    peak: { ...peaks(records), maxRssBytes: largest(records.map((job) => job.end?.usage.maxRssBytes ?? 0)) },
    generator: {
      loopDelayMs: run.loopDelayMs,
      busiest: largest(run.hostPoints.map((point) => point.generator)),
    },
    responsiveness: responsivenessOf(run),
    leaks: run.leaks,
    slices: slice(records, elapsedMs, madeAt),
    hostPoints: run.hostPoints,
    records,
  };
}

/** Every job succeeded and nothing was left behind, as far as it could be seen. */
export function held(report: Report): boolean {
  return report.jobs.failed === 0 && report.jobs.succeeded > 0 && leakCount(report.leaks) === 0;
}

/** When sandboxes were made while jobs ran; what a pool makes afterwards is not the run's. */
function madeTimes({ view, startedAt, elapsedMs }: Run): number[] | null {
  if (view === null || view.seen.length === 0) return null;
  return view.seen
    .flatMap(({ madeAt }) => (madeAt === null ? [] : [madeAt - startedAt.getTime()]))
    .filter((at) => at >= 0 && at <= elapsedMs);
}

/** From here on what is measured is the host's want of processors as much as Sallyport: share of the time, and `ms` */
const saturatedFrom = { busy: 0.95, waiting: 0.5, lateMs: 50 };

function responsivenessOf({ hostPoints, loopDelayMs }: Run): Report["responsiveness"] {
  const busy = mean(hostPoints.map((point) => point.user + point.system));
  const waiting = mean(hostPoints.flatMap((point) => point.waiting ?? []));
  const saturated =
    (busy ?? 0) >= saturatedFrom.busy ||
    (waiting ?? 0) >= saturatedFrom.waiting ||
    loopDelayMs.p99 >= saturatedFrom.lateMs;
  return { busy, waiting, saturated };
}

function mean(shares: readonly number[]): number | null {
  return shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function failuresOf(bad: readonly JobRecord[]): Failure[] {
  const groups = Object.entries(Object.groupBy(bad, (job) => job.failure ?? ""));
  return groups
    .map(([reason, jobs = []]) => ({
      reason,
      count: jobs.length,
      message: jobs[0]?.message ?? null,
      jobs: jobs.flatMap(({ id }) => id ?? []).slice(0, 3),
    }))
    .sort((a, b) => b.count - a.count);
}

function bound(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
