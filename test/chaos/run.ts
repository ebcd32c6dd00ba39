/** One run: a cluster, the planned jobs and faults, quiet again, and the verdict on everything that happened. */
import { once } from "node:events";
import { abortable, deadlineSignal, linkSignals } from "../../src/async/index.ts";
import { check, type Violation } from "./checker.ts";
import { Clients, streamed } from "./clients.ts";
import { Cluster, type StoreName } from "./cluster.ts";
import { Recorder, type Bounds, type History } from "./history.ts";
import { runNemesis } from "./nemesis.ts";
import { makePlan, type PlanOptions } from "./plan.ts";

export interface RunOptions extends PlanOptions {
  slots: number;
  store: StoreName;
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
  const plan = makePlan(options);
  const stop = options.signal ?? new AbortController().signal;
  const { hubs, workers, slots, store } = options;
  await using cluster = await Cluster.start(recorder, {
    hubs,
    workers,
    slots,
    createMs,
    store,
    bounds,
  });
  const over = new AbortController();
  const clients = new Clients({ cluster, recorder, commandOf: streamed }, over.signal);
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
