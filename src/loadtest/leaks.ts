/** What a run left behind: looked for until there is nothing, or time is over. */
import { SallyportError } from "../errors.ts";
import type { Clock, EngineView, FleetWorker } from "./contract.ts";
import { processesOf } from "./processes.ts";

export interface LeakReport {
  /** Why nothing is claimed; null when it was looked for */
  unchecked: string | null;
  /** containers beyond those that are warm in a pool and those that other jobs hold */
  sandboxes: number;
  volumes: number;
  networks: number;
  /** processes of sandboxes that are gone; null where they cannot be seen */
  processes: number | null;
  /** containers waiting in pools, which are no leak */
  warm: number;
  /** jobs the workers still hold, somebody else's */
  held: number;
  /** sandboxes that were followed from their making to here */
  followed: number;
  waitedMs: number;
}

export interface LeakDeps {
  clock: Clock;
  view: EngineView;
  /** The workers of this run */
  fleet: () => Promise<FleetWorker[]>;
  /** What the engine held before: a session's volume is no leak of ours */
  before: { volumes: readonly string[]; networks: readonly string[] };
  /** As `processesOf`, for tests */
  processes?: (containers: ReadonlySet<string>) => number[] | undefined;
}

/** How long removal and the pools' refill may take, in `ms` */
const patienceMs = 30_000;
const everyMs = 500;
/** A pool in motion can hide a leak in one look. */
const cleanLooks = 2;

export function uncheckedLeaks(why: string): LeakReport {
  return {
    unchecked: why,
    sandboxes: 0,
    volumes: 0,
    networks: 0,
    processes: null,
    warm: 0,
    held: 0,
    followed: 0,
    waitedMs: 0,
  };
}

export async function findLeaks(deps: LeakDeps, leave: AbortSignal): Promise<LeakReport> {
  const started = deps.clock.now();
  let clean = 0;
  try {
    for (;;) {
      const waitedMs = deps.clock.now() - started;
      const report = { ...(await look(deps)), waitedMs };
      clean = leakCount(report) === 0 ? clean + 1 : 0;
      if (clean >= cleanLooks || waitedMs >= patienceMs || leave.aborted) return report;
      await deps.clock.sleep(everyMs, leave).catch(() => undefined);
    }
  } catch (error) {
    return uncheckedLeaks(SallyportError.from(error).message);
  }
}

export function leakCount({ sandboxes, volumes, networks, processes }: LeakReport): number {
  return sandboxes + volumes + networks + (processes ?? 0);
}

async function look({
  view,
  fleet,
  before,
  processes = processesOf,
}: LeakDeps): Promise<Omit<LeakReport, "waitedMs">> {
  if (view.seen.length === 0) {
    return uncheckedLeaks(
      "none of the jobs' sandboxes was seen on this host's engine; run it where the workers are",
    );
  }
  // The fleet first: a sandbox that leaves its pool between the two looks is missed, not blamed.
  const workers = await fleet();
  const there = await view.inventory();
  const present = new Set(there.sandboxes);
  const gone = new Set(view.seen.map(({ id }) => id).filter((id) => !present.has(id)));
  const warm = sum(workers.flatMap((worker) => Object.values(worker.warm)));
  const held = sum(workers.map((worker) => worker.held));
  return {
    unchecked: null,
    sandboxes: Math.max(0, present.size - warm - held),
    volumes: there.volumes.filter((name) => !before.volumes.includes(name)).length,
    networks: there.networks.filter((name) => !before.networks.includes(name)).length,
    processes: processes(gone)?.length ?? null,
    warm,
    held,
    followed: view.seen.length,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
