/** The run over time, in equal slices. */
import type { JobRecord } from "./contract.ts";
import { largest, quantiles } from "./quantiles.ts";
import { samplesOf, type StageName } from "./stages.ts";

/** One slice; rates are per second, latencies those of the jobs that ended in it. */
export interface Slice {
  /** `ms` since the run's start, where the slice begins */
  from: number;
  to: number;
  arrivals: number;
  succeeded: number;
  failed: number;
  /** sandboxes taken from the pool, and made for their job */
  warm: number;
  cold: number;
  /** sandboxes the engine made; null where it cannot be seen */
  made: number | null;
  p50: number | null;
  p99: number | null;
  max: number | null;
  /** mean `ms` of each stage */
  stages: Partial<Record<StageName, number>>;
  /** the most at one time */
  outstanding: number;
  running: number;
}

const mostSlices = 120;
const fewestSlices = 12;
/** Fewer would make every slice an accident. */
const jobsPerSlice = 8;
const shortestMs = 100;
const shown: readonly StageName[] = ["wait", "submit", "queue", "adopt", "create", "run", "exit"];

export function slice(
  records: readonly JobRecord[],
  elapsedMs: number,
  madeAt: readonly number[] | null,
): Slice[] {
  const worthwhile = Math.max(fewestSlices, Math.floor(records.length / jobsPerSlice));
  const count = Math.max(1, Math.min(mostSlices, worthwhile, Math.floor(elapsedMs / shortestMs)));
  const width = elapsedMs / count;
  const place = (at: number): number => Math.min(count - 1, Math.max(0, Math.floor(at / width)));
  const group = <T>(items: readonly T[], at: (item: T) => number): T[][] => {
    const groups = Array.from({ length: count }, (): T[] => []);
    for (const item of items) groups[place(at(item))]?.push(item);
    return groups;
  };
  const ended = group(records, (job) => job.finishedAt);
  const arrived = group(records, (job) => job.scheduledAt);
  const started = group(records.filter(hasStarted), (job) => job.startedAt);
  const made = madeAt && group(madeAt, (at) => at);
  const outstanding = mostAtOnce(
    records.map((job) => [job.sentAt, job.finishedAt]),
    place,
    count,
  );
  const running = mostAtOnce(
    records.filter(hasStarted).map((job) => [job.startedAt, job.finishedAt]),
    place,
    count,
  );
  return ended.map((jobs, n) => {
    const perSecond = (items: readonly unknown[] | undefined): number =>
      ((items?.length ?? 0) * 1_000) / width;
    const starts = started[n] ?? [];
    return {
      from: n * width,
      to: (n + 1) * width,
      arrivals: perSecond(arrived[n]),
      succeeded: perSecond(jobs.filter((job) => job.failure === null)),
      failed: perSecond(jobs.filter((job) => job.failure !== null)),
      warm: perSecond(starts.filter((job) => job.end?.timings.warm === true)),
      cold: perSecond(starts.filter((job) => job.end?.timings.warm === false)),
      made: made && perSecond(made[n]),
      ...latencies(jobs),
      stages: meanStages(jobs),
      outstanding: outstanding[n] ?? 0,
      running: running[n] ?? 0,
    };
  });
}

/** The most jobs that were outstanding, and that ran, at one time. */
export function peaks(records: readonly JobRecord[]): { outstanding: number; running: number } {
  const all = (spans: [number, number][]): number => largest(mostAtOnce(spans, () => 0, 1));
  return {
    outstanding: all(records.map((job) => [job.sentAt, job.finishedAt])),
    running: all(records.filter(hasStarted).map((job) => [job.startedAt, job.finishedAt])),
  };
}

function hasStarted(job: JobRecord): job is JobRecord & { startedAt: number } {
  return job.startedAt !== null;
}

function latencies(jobs: readonly JobRecord[]): Pick<Slice, "p50" | "p99" | "max"> {
  const all = quantiles(samplesOf(jobs, "total"));
  return { p50: all?.p50 ?? null, p99: all?.p99 ?? null, max: all?.max ?? null };
}

/** Over all the slice's jobs, also those that skipped a stage, so that the stages add up to the mean job. */
function meanStages(jobs: readonly JobRecord[]): Slice["stages"] {
  const means = shown.map((stage) => {
    const sum = samplesOf(jobs, stage).reduce((total, ms) => total + ms, 0);
    return [stage, jobs.length === 0 ? 0 : sum / jobs.length] as const;
  });
  return Object.fromEntries(means.filter(([, ms]) => ms > 0));
}

/** The most spans that lie over one another, for each slice. */
function mostAtOnce(
  spans: readonly (readonly [number, number])[],
  place: (at: number) => number,
  count: number,
): number[] {
  const edges = spans
    .flatMap(([from, to]) => [
      { at: from, step: 1 },
      { at: to, step: -1 },
    ])
    // One that ends as another begins makes room for it.
    .sort((a, b) => a.at - b.at || a.step - b.step);
  const most = Array.from({ length: count }, () => 0);
  let [level, here] = [0, 0];
  for (const { at, step } of edges) {
    for (const to = place(at); here < to;) most[(here += 1)] = level;
    level += step;
    most[here] = Math.max(most[here] ?? 0, level);
  }
  while (here < count - 1) most[(here += 1)] = level;
  return most;
}
