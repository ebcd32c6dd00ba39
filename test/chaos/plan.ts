/** What will be done and when, all of it from one seed: the same seed gives the same schedule of jobs and faults. */
import type { JobPlan } from "./history.ts";
import { Random } from "./random.ts";

/** One job and what its client does about it; all times in `ms`. */
export interface ClientPlan {
  at: number;
  job: JobPlan;
  /** which hub it turns to first */
  hub: number;
  /** whether it follows the events; `cutAfter`: it drops the connection by itself after so many events and resumes */
  follow: { cutAfter: number } | null;
  /** how long after the submission was acknowledged it is cancelled */
  cancelAfterMs: number | null;
  /** the same request is sent a second time at once, under the same key */
  twice: boolean;
}

export const faultNames = [
  "worker-kill",
  "worker-freeze",
  "worker-drain",
  "hub-kill",
  "hub-freeze",
  "hub-drain",
  "link-cut",
  "link-reset",
  "link-stall-up",
  "link-stall-down",
  "link-half-open",
  "link-partition",
  "link-slow",
  "link-duplicate",
  "front-cut",
  "hub-clock-ahead",
  "hub-clock-behind",
  "worker-clock-ahead",
  "worker-clock-behind",
  "spool-full",
  "disk-full",
  "database-kill",
  "database-cut",
  "store-reset",
  "store-stall",
  "store-partition",
  "engine-kill",
  "engine-restart",
  "engine-freeze",
] as const;
export type FaultName = (typeof faultNames)[number];

/** What there is one or several of, each with one fault at a time */
export type TargetKind = "hub" | "worker" | "disk" | "database" | "engine";

const kinds: readonly [prefix: string, kind: TargetKind][] = [
  ["hub-", "hub"],
  ["front-", "hub"],
  ["store-", "hub"],
  ["disk-", "disk"],
  ["database-", "database"],
  ["engine-", "engine"],
];

export function kindOf(name: FaultName): TargetKind {
  return kinds.find(([prefix]) => name.startsWith(prefix))?.[1] ?? "worker";
}

/** Those that can happen where there is, or is not, a database shared by hubs and an engine under the workers. */
export function faultsWhere({ database, engine }: { database: boolean; engine: boolean }): FaultName[] {
  return faultNames.filter((name) => {
    if (name.startsWith("database-") || name.startsWith("store-")) return database;
    return engine || !name.startsWith("engine-");
  });
}

export interface FaultPlan {
  at: number;
  name: FaultName;
  /** number of the worker or hub, counted from 0 */
  target: number;
  /** how long it lasts, `ms` */
  ms: number;
}

export interface PlanOptions {
  seed: number;
  /** how long jobs and faults come, `ms` */
  runMs: number;
  hubs: number;
  workers: number;
  jobsPerSecond: number;
  faultsPerSecond: number;
  faults: readonly FaultName[];
  /** faults that last go on for at least so long, `ms` */
  leastFaultMs?: number;
  /** how many of all jobs are long, and how long those run at most, `ms`; 0.15 and 5,000 by default */
  long?: { share: number; ms: number };
}

export interface Plan {
  clients: ClientPlan[];
  faults: FaultPlan[];
}

export function makePlan(options: PlanOptions): Plan {
  return { clients: planClients(options), faults: planFaults(options) };
}

const usualLong = { share: 0.15, ms: 5_000 };

function planClients({ seed, runMs, jobsPerSecond, long = usualLong }: PlanOptions): ClientPlan[] {
  const random = new Random(seed);
  const clients: ClientPlan[] = [];
  for (let at = random.wait(jobsPerSecond); at < runMs; at += random.wait(jobsPerSecond)) {
    clients.push(planClient(random, { at, key: `${seed}-${clients.length}`, long }));
  }
  return clients;
}

interface ClientPlace {
  at: number;
  key: string;
  long: typeof usualLong;
}

function planClient(random: Random, { at, key, long }: ClientPlace): ClientPlan {
  const isLong = random.chance(long.share);
  return {
    at,
    job: {
      key,
      seed: random.int(1, 2 ** 31),
      bytes: random.chance(0.2) ? random.int(0, 600_000) : random.int(0, 30_000),
      ms: isLong ? random.int(long.ms / 5, long.ms) : random.int(0, 500),
      exitCode: random.chance(0.8) ? 0 : random.int(1, 100),
      maxAttempts: random.chance(0.5) ? 1 : random.int(2, 5),
    },
    hub: random.int(0, 7),
    follow: random.chance(0.3) ? { cutAfter: random.int(1, 12) } : null,
    cancelAfterMs: random.chance(0.2) ? random.int(0, random.chance(0.5) ? 30 : 1_500) : null,
    twice: random.chance(0.1),
  };
}

/** One target has one fault at a time; faults of different targets overlap as they come. */
function planFaults(options: PlanOptions): FaultPlan[] {
  const { seed, runMs, faultsPerSecond, faults } = options;
  const random = new Random(seed ^ 0x2545f491);
  const busyUntil = new Map<string, number>();
  const plans: FaultPlan[] = [];
  for (let at = random.wait(faultsPerSecond); at < runMs; at += random.wait(faultsPerSecond)) {
    const name = random.pick(faults);
    const kind = kindOf(name);
    const there = { hub: options.hubs, worker: options.workers, disk: 1, database: 1, engine: 1 }[kind];
    const target = random.int(0, there - 1);
    const ms = Math.max(lengthOf(name, random), options.leastFaultMs ?? 0);
    const from = Math.max(at, busyUntil.get(`${kind}${target}`) ?? 0);
    if (from >= runMs) continue;
    busyUntil.set(`${kind}${target}`, from + ms + 500);
    plans.push({ at: from, name, target, ms });
  }
  return plans.sort((a, b) => a.at - b.at);
}

/** Those that are over as they happen */
const atOnce: ReadonlySet<FaultName> = new Set([
  "link-cut",
  "link-reset",
  "front-cut",
  "database-cut",
  "store-reset",
]);

function lengthOf(name: FaultName, random: Random): number {
  if (atOnce.has(name)) return 0;
  if (name.endsWith("-kill")) return random.int(0, 1_000);
  return random.chance(0.3) ? random.int(3_000, 9_000) : random.int(200, 2_500);
}
