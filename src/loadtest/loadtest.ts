/** One run: look around, send the load while watching the host, then look for what it left. */
import { abortable, sleep } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Clock, EngineView, FleetWorker, JobRecord, Load, Target } from "./contract.ts";
import { generate } from "./generator.ts";
import { hostFacts, HostSampler } from "./host.ts";
import { Jobs } from "./jobs.ts";
import { findLeaks, uncheckedLeaks, type LeakReport } from "./leaks.ts";
import { makeReport, type Report } from "./report.ts";

export interface LoadtestDeps {
  target: Target;
  /** Every worker the hub knows */
  fleet: () => Promise<FleetWorker[]>;
  /** Throws where no engine answers. */
  watchEngine: (workers: readonly string[]) => Promise<EngineView>;
  onProgress?: (progress: Progress) => void;
}

export interface LoadtestPlan {
  load: Load;
  job: Report["job"];
  /** For the report */
  hub: string;
}

export interface LoadtestSignals {
  /** No further jobs; those that are outstanding are cancelled and waited for */
  stop: AbortSignal;
  /** Wait for nothing */
  leave: AbortSignal;
}

export interface Progress {
  elapsedMs: number;
  outstanding: number;
  records: readonly JobRecord[];
}

/** How long cancelled jobs may take to end, in `ms` */
const cancelMs = 15_000;
const progressMs = 250;

/** Throws what `fleet` throws at the start; failed jobs are part of the report. */
export async function runLoadtest(
  deps: LoadtestDeps,
  plan: LoadtestPlan,
  { stop, leave }: LoadtestSignals,
): Promise<Report> {
  const serving = async (): Promise<FleetWorker[]> =>
    (await deps.fleet()).filter(({ profiles }) => profiles.includes(plan.job.profile));
  const workers = await serving();
  const ids = new Set(workers.map(({ id }) => id));
  await using seeing = await look(deps, [...ids]);
  const startedAt = new Date();
  const clock = startClock();
  const { records, elapsedMs, sampler } = await sendLoad({ deps, clock, plan }, { stop, leave });
  const known = async (): Promise<FleetWorker[]> => (await deps.fleet()).filter(({ id }) => ids.has(id));
  const leaks = await leftBehind({ seeing, clock, fleet: known }, leave);
  return makeReport({
    ...plan,
    startedAt,
    elapsedMs,
    interrupted: stop.aborted,
    workers,
    records,
    view: seeing.view,
    host: hostFacts(),
    hostPoints: sampler.points(),
    loopDelayMs: sampler.loopDelay(),
    leaks,
  });
}

interface Seeing extends AsyncDisposable {
  view: EngineView | null;
  /** Why there is no view */
  why: string;
  before: { volumes: readonly string[]; networks: readonly string[] };
}

async function look({ watchEngine }: LoadtestDeps, workers: readonly string[]): Promise<Seeing> {
  try {
    const view = await watchEngine(workers);
    const before = await view.inventory();
    return { view, why: "", before, [Symbol.asyncDispose]: () => view[Symbol.asyncDispose]() };
  } catch (error) {
    const why = `this host's engine cannot be asked: ${SallyportError.from(error).message}`;
    return {
      view: null,
      why,
      before: { volumes: [], networks: [] },
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
}

function startClock(): Clock {
  const origin = performance.now();
  return { now: () => performance.now() - origin, sleep };
}

interface Sending {
  deps: LoadtestDeps;
  clock: Clock;
  plan: LoadtestPlan;
}

async function sendLoad(
  { deps, clock, plan }: Sending,
  { stop, leave }: LoadtestSignals,
): Promise<{ records: readonly JobRecord[]; elapsedMs: number; sampler: HostSampler }> {
  const tooLate = new AbortController();
  const giveUp = AbortSignal.any([leave, tooLate.signal]);
  using sampler = new HostSampler({ now: () => clock.now() });
  const jobs = new Jobs({ target: deps.target, clock }, giveUp);
  const progress = (): void =>
    deps.onProgress?.({ elapsedMs: clock.now(), outstanding: jobs.outstanding, records: jobs.records });
  const timer = setInterval(progress, progressMs);
  let waiting: NodeJS.Timeout | undefined;
  const onStop = (): void => {
    jobs.cancelAll();
    waiting = setTimeout(() => tooLate.abort(new Error("cancelled jobs did not end")), cancelMs);
  };
  stop.addEventListener("abort", onStop, { once: true });
  try {
    const { launch } = jobs;
    await generate({ clock, launch }, plan.load, stop);
    return { records: jobs.records, elapsedMs: clock.now(), sampler };
  } finally {
    clearInterval(timer);
    clearTimeout(waiting);
    stop.removeEventListener("abort", onStop);
    progress();
  }
}

interface After {
  seeing: Seeing;
  clock: Clock;
  fleet: () => Promise<FleetWorker[]>;
}

async function leftBehind({ seeing, clock, fleet }: After, leave: AbortSignal): Promise<LeakReport> {
  const { view, why, before } = seeing;
  if (view === null) return uncheckedLeaks(why);
  try {
    return await abortable(findLeaks({ view, clock, fleet, before }, leave), leave);
  } catch {
    return uncheckedLeaks("it was not waited for");
  }
}
