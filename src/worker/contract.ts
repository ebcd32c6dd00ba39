/** What a worker is to the process that owns it. */
import type { WorkerChannel } from "../channel/index.ts";
import type { Driver, Profile } from "../sandbox/index.ts";
import type { Log } from "../log.ts";
import type { SallyportError } from "../errors.ts";
import type { TunnelEnd } from "../uplink/index.ts";
import type { SandboxNetwork } from "./network.ts";
import type { WorkerState } from "./states.ts";

export interface WorkerDeps {
  driver: Driver;
  /** What gives sandboxes their network; absent: none has any */
  network?: SandboxNetwork | undefined;
  /** Opens one channel to the hub; called again and again, for ever. */
  dial: (signal: AbortSignal) => Promise<WorkerChannel>;
  profiles: () => ReadonlyMap<string, Profile>;
  log: Log;
  /** Its end of the tunnel, for routes it offers or sandboxes that use those of others; stays the caller's to dispose */
  tunnel?: TunnelEnd | undefined;
}

export interface WorkerOptions {
  /** Stable over restarts, see `readWorkerIdentity` */
  workerId: string;
  /** Differs for every life of the process */
  bootId: string;
  /** Above that of every earlier life, see `readWorkerIdentity`. With 0, the default, a hello of an earlier life is not known as one */
  life?: number;
  version: string;
  labels: Readonly<Record<string, string>>;
  /** Sandboxes at once */
  slots: number;
  /** bytes of memory that sandboxes may be promised together */
  memoryBytes: number;
  /** Told to the hub */
  cpus: number;
  /** Folder for output that waits for the hub and no longer fits memory */
  spoolDir: string;
  /** bytes of unacknowledged output kept per exec, memory and disk together; default 64 MiB */
  spoolBytes?: number;
  /** bytes of that kept in memory; default 2 MiB */
  spoolMemoryBytes?: number;
  /** `ms` between two looks for orphaned sandboxes; default 30 s */
  reapIntervalMs?: number;
  /** Sandboxes younger than this many `ms` are left alone by it; default 60 s */
  reapGraceMs?: number;
  /** False: no sandboxes are made ahead, whatever the profiles say; default true */
  pool?: boolean;
  /** Profiles whose preparation `onReady` waits for; default all */
  defaultProfiles?: readonly string[];
  /** Bounds and waits, in `ms`; each has a default */
  times?: Partial<WorkerTimes>;
}

/** Bounds and waits of a worker, in `ms`. */
export interface WorkerTimes {
  /** from dialling to the hub's welcome */
  connectMs: number;
  /** upper bound of the first wait before dialling again */
  backoffBaseMs: number;
  /** upper bound of every such wait */
  backoffCapMs: number;
  /** a channel that stayed up this long starts the waits anew */
  stableMs: number;
  /** from entering a slot to the command's start, without the wait until others' sandboxes are made */
  startMs: number;
  /** for making a sandbox ahead and loading its modules */
  warmMs: number;
  /** how long no job must have been on the way to its command before a sandbox is made ahead */
  quietMs: number;
  /** after this long one is made ahead although jobs are on the way */
  patienceMs: number;
  /** how long routes must have stayed as they are before sandboxes made ahead are renewed */
  routesMs: number;
  /** how long lost inputs may take to come again over another channel */
  inputsMs: number;
  /** how long a stream may stay open behind the command's exit before the rest of the tree is killed */
  lingerMs: number;
  /** how long the guest or the engine may take to tell an end that must come */
  settleMs: number;
  /** for removing a sandbox */
  cleanUpMs: number;
  /** for collecting artifacts */
  artifactsMs: number;
  /** between two sendings of an exit report nobody answered */
  resendMs: number;
  /** how long an aborted worker tries to report what it stopped */
  farewellMs: number;
  /** between two lines about what holds a drain up */
  drainLogMs: number;
}

export const defaultTimes: WorkerTimes = {
  connectMs: 10_000,
  backoffBaseMs: 500,
  backoffCapMs: 30_000,
  stableMs: 60_000,
  startMs: 120_000,
  warmMs: 60_000,
  quietMs: 20,
  patienceMs: 2_000,
  routesMs: 1_000,
  inputsMs: 30_000,
  lingerMs: 250,
  settleMs: 5_000,
  cleanUpMs: 30_000,
  artifactsMs: 60_000,
  resendMs: 10_000,
  farewellMs: 2_000,
  drainLogMs: 5_000,
};

export interface Worker extends AsyncDisposable {
  readonly state: WorkerState;
  /** Connects and serves; resolves once the worker is stopped, never rejects. */
  run(): Promise<void>;
  /** Takes nothing new and resolves once all it held is reported and gone; at the deadline the rest is aborted. */
  drain(deadlineMs?: number): Promise<void>;
  /** Kills every sandbox at once; `run` resolves when they are gone. */
  abort(reason: SallyportError): void;
  /** Calls back once, when the default profiles are prepared or known to be unusable and the hub has heard which. */
  onReady(listener: () => void): void;
}
