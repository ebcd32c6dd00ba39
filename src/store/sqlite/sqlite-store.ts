import type { FleetStore, JobStore, LeaseStore, LogStore, Store } from "../contract.ts";
import { fleetStore } from "./fleet.ts";
import { jobStore } from "./jobs.ts";
import { leaseStore } from "./leases.ts";
import { logStore } from "./log.ts";
import type { Threads } from "./threads.ts";

interface Deps extends Threads {
  lock: Disposable;
}

/** A store in one file, held by one process: a thread that writes and one that reads. */
export class SqliteStore implements Store {
  readonly jobs: JobStore;
  readonly leases: LeaseStore;
  readonly log: LogStore;
  readonly fleet: FleetStore;
  readonly #deps: Deps;

  constructor(deps: Deps, options: { queueCap: number }) {
    this.#deps = deps;
    this.jobs = jobStore(deps, options);
    this.leases = leaseStore(deps);
    this.log = logStore(deps);
    this.fleet = fleetStore(deps);
  }

  check(): Promise<void> {
    return this.#deps.writer.call("check", undefined);
  }

  /** In small steps, so that work goes on meanwhile. What one call leaves behind when it is cut short the next one clears. */
  async prune(before: number): Promise<number> {
    const { writer } = this.#deps;
    let pruned = 0;
    let step: number;
    do {
      step = await writer.call("forget", { before });
      pruned += step;
    } while (step > 0);
    while (await writer.call("sweep", undefined));
    await writer.call("tidy", { before });
    while (await writer.call("shrink", undefined));
    return pruned;
  }

  /** Ends both threads where they stand, as the death of the process would. */
  async abort(): Promise<void> {
    await Promise.all([this.#deps.writer.abort(), this.#deps.reader.abort()]);
    this.#deps.lock[Symbol.dispose]();
  }

  /** What was asked for before is done first. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { reader, writer, lock } = this.#deps;
    await reader[Symbol.asyncDispose]();
    await writer[Symbol.asyncDispose]();
    lock[Symbol.dispose]();
  }
}
