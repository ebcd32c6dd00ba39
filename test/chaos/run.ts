/** One run: a cluster, the planned jobs and faults, quiet again, and the verdict on everything that happened. */
import { once } from "node:events";
import { abortable, deadlineSignal, linkSignals } from "../../src/async/index.ts";
import { check, type Violation } from "./checker.ts";
import { Clients } from "./clients.ts";
import { Cluster, type DriverName, type StoreName } from "./cluster.ts";
import { Recorder, type Bounds, type History } from "./history.ts";
import { runNemesis } from "./nemesis.ts";
import { faultsWhere, makePlan, type FaultName, type PlanOptions } from "./plan.ts";
import { pythonCommand, streamCommand } from "./stream-program.ts";

export interface RunOptions extends Omit<PlanOptions, "faults"> {
  /** all that can happen by default */
  faults?: readonly FaultName[];
  slots: number;
  store: StoreName;
  driver: DriverName;
  /** how long after the last fault everything must be over, `ms` */
  quietMs: number;
  bounds?: Partial<Bounds>;
  /** Told now and then how it goes */
  progress?: (line: string) => void;
  /** Ends the run before its time; it is still checked */
  signal?: AbortSignal;
}

export interface RunReport {
  history: History;
  violations: Violation[];
}

export const chaosBounds: Bounds = {
  heartbeatMs: 400,
  leaseMs: 5_000,
  selfStopMs: 3_500,
  offerMs: 1_500,
  graceMs: 500,
  slackMs: 1_500,
};

const createMs = 20;
const progressMs = 5_000;

export async function runChaos(options: RunOptions): Promise<RunReport> {
  const bounds = { ...chaosBounds, ...options.bounds };
  const recorder = new Recorder();
  const { hubs, workers, slots, store, driver } = options;
  const there = { database: store === "postgres", engine: driver === "docker" };
  const plan = makePlan({ ...options, faults: options.faults ?? faultsWhere(there) });
  const stop = options.signal ?? new AbortController().signal;
  await using cluster = await Cluster.start(recorder, {
    hubs,
    workers,
    slots,
    createMs,
    store,
    driver,
    bounds,
  });
  const over = new AbortController();
  const commandOf = driver === "docker" ? pythonCommand : streamCommand;
  const clients = new Clients({ cluster, recorder, commandOf }, over.signal);
  const served = clients.run(plan.clients);
  const said = setInterval(() => options.progress?.(progressLine(recorder, clients)), progressMs);
  try {
    using time = linkSignals(stop, AbortSignal.timeout(options.runMs));
    await Promise.race([runNemesis(cluster, plan.faults, recorder, time.signal), rejectsOnly(served)]);
    await fired(time.signal);
    await cluster.heal();
    using quiet = deadlineSignal(options.quietMs, "becoming quiet");
    await abortable(served, quiet.signal).catch(() => over.abort());
    await served;
    over.abort();
    await clients.readBack();
    await cluster.windUp();
  } finally {
    clearInterval(said);
    over.abort();
  }
  const jobs = new Map(plan.clients.map(({ job }) => [job.key, job]));
  const history: History = { seed: options.seed, bounds, jobs, entries: recorder.entries };
  return { history, violations: check(history) };
}

async function fired(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}

async function rejectsOnly(promise: Promise<void>): Promise<never> {
  await promise;
  return await new Promise<never>(() => undefined);
}

function progressLine(recorder: Recorder, clients: Clients): string {
  const faults = recorder.entries.filter((entry) => entry.type === "fault" && entry.phase === "begin").length;
  return `${clients.submitted.length} jobs submitted, ${clients.ended.size} over, ${faults} faults`;
}
