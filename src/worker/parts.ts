/** The parts of a worker, made and joined to one another; what becomes of it as a whole they ask and tell its `Life`. */
import type { Log } from "../log.ts";
import { Connection, TunnelEnd, Uplink, type ConnectionDeps } from "../uplink/index.ts";
import { Admission } from "./admission.ts";
import { Calm } from "./calm.ts";
import { defaultTimes, type WorkerDeps, type WorkerOptions, type WorkerTimes } from "./contract.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Introduction } from "./introduction.ts";
import { JobRunner } from "./job-runner.ts";
import { Jobs } from "./jobs.ts";
import { LeaseTable } from "./leases.ts";
import { watchRoutes } from "./network.ts";
import { Offers } from "./offers.ts";
import { Pool } from "./pool/pool.ts";
import { Profiles } from "./profiles.ts";
import { Reaper } from "./reaper.ts";
import { ColdSandboxes } from "./sandboxes.ts";
import { spoolOptions } from "./spool.ts";

/** What the worker decides. */
export interface Life extends Pick<ConnectionDeps<"worker">, "welcomed" | "lost"> {
  draining(): boolean;
  /** Nothing came from the hub for so long that what runs must stop. */
  cutOff(): void;
  /** As the hub counts, the leases are over. */
  expired(): void;
}

/** What every part may need. */
interface Ground {
  readonly deps: WorkerDeps;
  readonly options: WorkerOptions;
  readonly times: WorkerTimes;
  readonly log: Log;
  readonly uplink: Uplink;
  readonly leases: LeaseTable;
  readonly admission: Admission;
  readonly calm: Calm;
  readonly profiles: Profiles;
}

export interface Parts extends Pick<Ground, "times" | "log" | "uplink" | "leases" | "profiles"> {
  readonly heartbeat: Heartbeat;
  readonly pool: Pool;
  readonly jobs: Jobs;
  readonly offers: Offers;
  readonly tunnel: TunnelEnd;
  readonly introduction: Introduction;
  readonly connection: Connection<"worker">;
  readonly reaper: Reaper;
  /** Watches the routes that sandboxes are made with */
  readonly routes: Disposable;
}

/** Nothing runs, dials or is timed before it is asked to; only routes are watched at once. */
export function makeParts(deps: WorkerDeps, options: WorkerOptions, life: Life): Parts {
  const ground = layGround(deps, options);
  const { times, log, uplink, leases, admission, profiles } = ground;
  const heartbeat: Heartbeat = new Heartbeat({
    beat: () => ({ leasesHash: leases.hash, free: admission.free, warm: pool.counts }),
    cutOff: () => life.cutOff(),
    expired: () => life.expired(),
  });
  const pool = makePool(ground, heartbeat);
  const tunnel = deps.tunnel ?? new TunnelEnd({ log });
  const introduction = new Introduction({ uplink, leases, profiles, pool, tunnel }, options);
  admission.onFreed(() => pool.refresh());
  profiles.onChange(() => {
    introduction.tellProfiles();
    pool.refresh();
  });
  const { reapIntervalMs: intervalMs = 30_000, reapGraceMs: graceMs = 60_000 } = options;
  return {
    times,
    log,
    uplink,
    leases,
    profiles,
    heartbeat,
    pool,
    tunnel,
    introduction,
    ...makeWork(ground, { heartbeat, pool }, life),
    connection: makeConnection(ground, { heartbeat, introduction, tunnel }, life),
    reaper: new Reaper({ driver: deps.driver, log }, { intervalMs, graceMs, boundMs: times.cleanUpMs }),
    routes: watchRoutes(deps.network, times.routesMs, () => pool.refresh()),
  };
}

function layGround(deps: WorkerDeps, options: WorkerOptions): Ground {
  const times = { ...defaultTimes, ...options.times };
  const log = deps.log.child({ workerId: options.workerId });
  return {
    deps,
    options,
    times,
    log,
    uplink: new Uplink(),
    leases: new LeaseTable(),
    admission: new Admission({ slots: options.slots, memory: options.memoryBytes }),
    calm: new Calm(),
    profiles: new Profiles(
      { driver: deps.driver, profiles: deps.profiles, log },
      { ...times, defaults: options.defaultProfiles, memoryBytes: options.memoryBytes },
    ),
  };
}

function makePool(ground: Ground, heartbeat: Heartbeat): Pool {
  const { deps, options, times, log, admission, calm, profiles } = ground;
  const { driver, network } = deps;
  const cold = new ColdSandboxes(
    { driver, network, log, failed: (...fault) => profiles.failed(...fault), calm },
    { ...times, concurrency: Math.max(2, 2 * options.cpus) },
  );
  return new Pool(
    {
      driver,
      network,
      cold,
      calm,
      log,
      profiles: () => profiles.prepared(),
      room: () => admission.spareMemory,
      judged: (profile, fault) => profiles.madeAhead(profile, fault),
      changed: () => heartbeat.soon(),
    },
    { ...times, concurrency: options.cpus > 2 ? 2 : 1 },
  );
}

/** From an offer to what its lease comes to. */
function makeWork(
  { deps, options, times, log, uplink, leases, admission, calm, profiles }: Ground,
  { heartbeat, pool }: Pick<Parts, "heartbeat" | "pool">,
  life: Life,
): Pick<Parts, "jobs" | "offers"> {
  const runner = new JobRunner(
    { sandboxes: pool, network: deps.network, uplink, heartbeat },
    { times, spoolDir: options.spoolDir },
  );
  const jobs = new Jobs({ runner, uplink, calm }, times);
  const offers = new Offers(
    { admission, jobs, leases, profiles, log },
    { spool: spoolOptions(options), inputsMs: times.inputsMs, draining: () => life.draining() },
  );
  return { jobs, offers };
}

function makeConnection(
  { deps, times, log, uplink, leases }: Ground,
  { heartbeat, introduction, tunnel }: Pick<Parts, "heartbeat" | "introduction" | "tunnel">,
  life: Life,
): Connection<"worker"> {
  return new Connection(
    {
      dial: deps.dial,
      uplink,
      log,
      hello: () => introduction.hello(),
      welcomed: (channel, welcome, said) => life.welcomed(channel, welcome, said),
      // a hub that comes back within a lease's time is to be found again before the lease is over
      longestWaitMs: () => (leases.size > 0 ? heartbeat.intervals.heartbeatMs : Number.POSITIVE_INFINITY),
      lost: (channel) => life.lost(channel),
      quiet: (channel) => tunnel.quiet(channel),
    },
    times,
  );
}
