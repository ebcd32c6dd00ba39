/** The worker itself: makes its parts, moves through its states, and decides when it is over. */
import { abortable, deferred, deadlineSignal, linkSignals, sleep } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import { Admission } from "./admission.ts";
import { Calm } from "./calm.ts";
import {
  defaultTimes,
  type Worker,
  type WorkerDeps,
  type WorkerOptions,
  type WorkerTimes,
} from "./contract.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Inbox } from "./inbox.ts";
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
import { tellWhatHolds } from "./drain-log.ts";
import { step, type WorkerState } from "./states.ts";
import {
  Connection,
  TunnelEnd,
  Uplink,
  type Greetings,
  type HubHandlers,
  type SaidHello,
} from "../uplink/index.ts";
import type { WorkerChannel } from "../channel/index.ts";

type Welcome = Greetings["worker"]["welcome"];

export function createWorker(deps: WorkerDeps, options: WorkerOptions): Worker {
  return new DialOutWorker(deps, options);
}

class DialOutWorker implements Worker {
  readonly #log: Log;
  readonly #options: WorkerOptions;
  readonly #times: WorkerTimes;
  readonly #uplink = new Uplink();
  readonly #leases = new LeaseTable();
  readonly #admission: Admission;
  readonly #profiles: Profiles;
  readonly #heartbeat: Heartbeat;
  readonly #jobs: Jobs;
  readonly #offers: Offers;
  readonly #connection: Connection<"worker">;
  readonly #tunnel: TunnelEnd;
  readonly #reaper: Reaper;
  readonly #calm = new Calm();
  readonly #pool: Pool;
  readonly #introduction: Introduction;
  readonly #routes: Disposable;
  /** fires when the worker leaves: nothing is held, or nothing more can be done about it */
  readonly #leaving = new AbortController();
  readonly #aborted = new AbortController();
  readonly #stopped = deferred<void>();
  readonly #welcomed = deferred<void>();
  #state: WorkerState = "idle";
  #running = false;
  #drained: Promise<void> | undefined;

  constructor(deps: WorkerDeps, options: WorkerOptions) {
    this.#options = options;
    this.#log = deps.log.child({ workerId: options.workerId });
    const times = { ...defaultTimes, ...options.times };
    this.#times = times;
    const { driver, network } = deps;
    this.#tunnel = deps.tunnel ?? new TunnelEnd({ log: this.#log });
    const [log, uplink, leases] = [this.#log, this.#uplink, this.#leases];
    this.#admission = new Admission({ slots: options.slots, memory: options.memoryBytes });
    this.#profiles = new Profiles(
      { driver, profiles: deps.profiles, log },
      { ...times, defaults: options.defaultProfiles },
    );
    this.#profiles.onChange(() => this.#profilesChanged());
    this.#heartbeat = new Heartbeat({
      beat: () => ({ leasesHash: leases.hash, free: this.#admission.free, warm: this.#pool.counts }),
      cutOff: () => this.#cutOff(),
      expired: () => this.#expired(),
    });
    this.#pool = this.#makePool(deps);
    const said = { uplink, leases, profiles: this.#profiles, pool: this.#pool, tunnel: this.#tunnel };
    this.#introduction = new Introduction(said, options);
    this.#routes = watchRoutes(network, times.routesMs, () => this.#pool.refresh());
    this.#admission.onFreed(() => this.#pool.refresh());
    const runner = new JobRunner(
      { sandboxes: this.#pool, network, uplink, heartbeat: this.#heartbeat },
      { times, spoolDir: options.spoolDir },
    );
    this.#jobs = new Jobs({ runner, uplink, calm: this.#calm }, times);
    this.#offers = new Offers(
      { admission: this.#admission, jobs: this.#jobs, leases, profiles: this.#profiles, log },
      {
        spool: spoolOptions(options),
        inputsMs: times.inputsMs,
        draining: () => this.#state === "draining",
      },
    );
    this.#connection = new Connection(
      {
        dial: deps.dial,
        uplink,
        log,
        hello: () => this.#introduction.hello(),
        welcomed: (channel, welcome, said) => this.#adopt(channel, welcome, said),
        longestWaitMs: () => this.#longestWaitMs(),
        lost: (channel) => this.#lost(channel),
        quiet: (channel) => this.#tunnel.quiet(channel),
      },
      times,
    );
    const { reapIntervalMs: intervalMs = 30_000, reapGraceMs: graceMs = 60_000 } = options;
    this.#reaper = new Reaper({ driver, log }, { intervalMs, graceMs, boundMs: times.cleanUpMs });
  }

  #makePool({ driver, network }: WorkerDeps): Pool {
    const [log, profiles] = [this.#log, this.#profiles];
    const failed = profiles.failed.bind(profiles);
    return new Pool(
      {
        driver,
        network,
        cold: new ColdSandboxes(
          { driver, network, log, failed, calm: this.#calm },
          { ...this.#times, concurrency: Math.max(2, 2 * this.#options.cpus) },
        ),
        calm: this.#calm,
        log,
        profiles: () => profiles.prepared(),
        room: () => this.#admission.spareMemory,
        judged: (profile, fault) => profiles.madeAhead(profile, fault),
        changed: () => this.#heartbeat.soon(),
      },
      { ...this.#times, concurrency: this.#options.cpus > 2 ? 2 : 1 },
    );
  }

  get state(): WorkerState {
    return this.#state;
  }

  run(): Promise<void> {
    if (!this.#running && this.#state === "idle") {
      this.#running = true;
      this.#enter("connecting");
      void this.#live();
    }
    return this.#stopped.promise;
  }

  drain(deadlineMs?: number): Promise<void> {
    if (deadlineMs !== undefined) void this.#abortAfter(deadlineMs);
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  abort(reason: SallyportError): void {
    if (this.#aborted.signal.aborted) return;
    this.#log.info({ held: this.#leases.size, reason: reason.message }, "worker aborts");
    this.#aborted.abort(reason);
    this.#leases.stopAll("shutting_down");
    void this.drain();
  }

  onReady(listener: () => void): void {
    void this.#welcomed.promise.then(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort(new SallyportError("shutting_down", "the worker is disposed"));
    await this.#stopped.promise;
  }

  /** The first look for orphans comes before the first sandbox, so that it need spare nothing. */
  async #live(): Promise<void> {
    const signal = this.#leaving.signal;
    await this.#reaper.start();
    void this.#begin(signal);
    await this.#connection.run(signal);
    this.#heartbeat[Symbol.dispose]();
    this.#reaper[Symbol.dispose]();
    this.#routes[Symbol.dispose]();
    this.#enter("stopped");
    this.#log.info("worker stopped");
    this.#stopped.resolve();
  }

  /** It is ready once the hub knows what it serves, so that nobody who hears of it is refused. */
  async #begin(signal: AbortSignal): Promise<void> {
    try {
      await Promise.all([this.#profiles.prepareAll(signal), this.#uplink.after(undefined, signal)]);
      if (this.#options.pool !== false && this.#drained === undefined) this.#pool.start();
      await this.#heartbeat.caughtUp(signal);
      this.#welcomed.resolve();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #drain(): Promise<void> {
    if (this.#state === "idle") {
      this.#enter("stopped");
      this.#stopped.resolve();
    }
    if (this.#state === "stopped") return;
    this.#enter("draining");
    this.#log.info({ held: this.#leases.size }, "worker drains");
    this.#introduction.tellDraining();
    void this.#tellWhatHolds();
    const emptied = this.#pool[Symbol.asyncDispose]();
    const served = abortable(this.#tunnel.drain(), this.#aborted.signal).catch(() => undefined);
    await this.#leases.empty(this.#aborted.signal).catch(() => this.#farewell());
    await Promise.all([this.#jobs.settled(), emptied, served]);
    this.#leaving.abort(new SallyportError("shutting_down", "the worker is drained"));
    await this.#stopped.promise;
  }

  /** Sandboxes go first; then what they came to is told, if the hub listens. What it does not hear it finds out by itself. */
  async #farewell(): Promise<void> {
    await this.#jobs.settled();
    using bound = deadlineSignal(this.#times.farewellMs, "telling the hub");
    if (this.#uplink.current !== undefined) await this.#leases.empty(bound.signal).catch(() => undefined);
    for (const lease of this.#leases.all()) this.#leases.finish(lease, "killed");
  }

  async #abortAfter(deadlineMs: number): Promise<void> {
    await sleep(deadlineMs, this.#leaving.signal).then(
      () => this.abort(new SallyportError("deadline_exceeded", `not drained within ${deadlineMs} ms`)),
      () => undefined,
    );
  }

  async #tellWhatHolds(): Promise<void> {
    using over = linkSignals(this.#leaving.signal, this.#aborted.signal);
    const parts = { leases: this.#leases, jobs: this.#jobs, log: this.#log };
    await tellWhatHolds(parts, this.#times.drainLogMs, over.signal);
  }

  #adopt(channel: WorkerChannel, welcome: Welcome, { hello, at }: SaidHello<"worker">): HubHandlers {
    this.#heartbeat.start(channel, welcome.intervals, at);
    if (this.#state === "connecting") this.#enter("ready");
    const inbox = new Inbox(
      {
        leases: this.#leases,
        offers: this.#offers,
        heartbeat: this.#heartbeat,
        tunnel: this.#tunnel,
        drain: (deadlineMs) => void this.drain(deadlineMs),
        goAway: () => this.#connection.replace(),
      },
      channel,
    );
    if (this.#state === "draining") this.#introduction.tellDraining();
    this.#tunnel.attach(channel, hello.routes);
    inbox.resume(hello.leases, welcome.verdicts);
    this.#introduction.tellChangedProfiles(hello);
    return inbox;
  }

  #profilesChanged(): void {
    this.#introduction.tellProfiles();
    this.#pool.refresh();
  }

  /** A hub that comes back within a lease's time is to be found again before the lease is over. */
  #longestWaitMs(): number {
    return this.#leases.size > 0 ? this.#heartbeat.intervals.heartbeatMs : Number.POSITIVE_INFINITY;
  }

  #lost(channel: WorkerChannel): void {
    this.#heartbeat.stopBeats();
    for (const lease of this.#leases.all()) if (lease.output.channel === channel) lease.output.detach();
    if (this.#state === "ready") this.#enter("connecting");
  }

  #cutOff(): void {
    const running = this.#leases.refs().map(({ lease }) => lease);
    if (running.length === 0) return;
    this.#log.warn({ leases: running }, "cut off from the hub too long; stopping all sandboxes");
    this.#leases.stopAll("cut_off");
  }

  /** A worker that drains would otherwise wait for ever for a hub that never comes back. */
  #expired(): void {
    const over = this.#leases.all();
    if (over.length === 0) return;
    this.#log.warn(
      { leases: over.map(({ ref }) => ref.lease) },
      "leases are over, nothing of them is reported",
    );
    for (const lease of over) this.#leases.finish(lease, "superseded");
  }

  #enter(state: WorkerState): void {
    this.#state = step(this.#state, state);
  }
}
