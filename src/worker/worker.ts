/** The worker itself: moves through its states, and decides what becomes of what it holds, and when it is over. */
import { abortable, deferred, deadlineSignal, linkSignals, sleep } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { WorkerChannel } from "../channel/index.ts";
import type { Greetings, HubHandlers, SaidHello } from "../uplink/index.ts";
import type { Worker, WorkerDeps, WorkerOptions } from "./contract.ts";
import { Inbox } from "./inbox.ts";
import { makeParts, type Parts } from "./parts.ts";
import { tellWhatHolds } from "./drain-log.ts";
import { step, type WorkerState } from "./states.ts";

type Welcome = Greetings["worker"]["welcome"];

export function createWorker(deps: WorkerDeps, options: WorkerOptions): Worker {
  return new DialOutWorker(deps, options);
}

class DialOutWorker implements Worker {
  readonly #pools: boolean;
  readonly #parts: Parts;
  /** fires when the worker leaves: nothing is held, or nothing more can be done about it */
  readonly #leaving = new AbortController();
  readonly #aborted = new AbortController();
  readonly #stopped = deferred<void>();
  readonly #welcomed = deferred<void>();
  #state: WorkerState = "idle";
  #running = false;
  #drained: Promise<void> | undefined;

  constructor(deps: WorkerDeps, options: WorkerOptions) {
    this.#pools = options.pool !== false;
    this.#parts = makeParts(deps, options, {
      draining: () => this.#state === "draining",
      cutOff: () => this.#cutOff(),
      expired: () => this.#expired(),
      welcomed: (channel, welcome, said) => this.#adopt(channel, welcome, said),
      lost: (channel) => this.#lost(channel),
    });
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
    const { log, leases } = this.#parts;
    log.info({ held: leases.size, reason: reason.message }, "worker aborts");
    this.#aborted.abort(reason);
    leases.stopAll("shutting_down");
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
    const { connection, heartbeat, reaper, routes, log } = this.#parts;
    const { signal } = this.#leaving;
    await reaper.start();
    void this.#begin(signal);
    await connection.run(signal);
    heartbeat[Symbol.dispose]();
    reaper[Symbol.dispose]();
    routes[Symbol.dispose]();
    this.#enter("stopped");
    log.info("worker stopped");
    this.#stopped.resolve();
  }

  /** It is ready once the hub knows what it serves, so that nobody who hears of it is refused. */
  async #begin(signal: AbortSignal): Promise<void> {
    const { profiles, uplink, pool, heartbeat } = this.#parts;
    try {
      await Promise.all([profiles.prepareAll(signal), uplink.after(undefined, signal)]);
      if (this.#pools && this.#drained === undefined) pool.start();
      await heartbeat.caughtUp(signal);
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
    const { log, leases, introduction, pool, tunnel, jobs } = this.#parts;
    this.#enter("draining");
    log.info({ held: leases.size }, "worker drains");
    introduction.tellDraining();
    void this.#tellWhatHolds();
    const emptied = pool[Symbol.asyncDispose]();
    const served = abortable(tunnel.drain(), this.#aborted.signal).catch(() => undefined);
    await leases.empty(this.#aborted.signal).catch(() => this.#farewell());
    await Promise.all([jobs.settled(), emptied, served]);
    this.#leaving.abort(new SallyportError("shutting_down", "the worker is drained"));
    await this.#stopped.promise;
  }

  /** Sandboxes go first; then what they came to is told, if the hub listens. What it does not hear it finds out by itself. */
  async #farewell(): Promise<void> {
    const { jobs, times, uplink, leases } = this.#parts;
    await jobs.settled();
    using bound = deadlineSignal(times.farewellMs, "telling the hub");
    if (uplink.current !== undefined) await leases.empty(bound.signal).catch(() => undefined);
    for (const lease of leases.all()) leases.finish(lease, "killed");
  }

  async #abortAfter(deadlineMs: number): Promise<void> {
    await sleep(deadlineMs, this.#leaving.signal).then(
      () => this.abort(new SallyportError("deadline_exceeded", `not drained within ${deadlineMs} ms`)),
      () => undefined,
    );
  }

  async #tellWhatHolds(): Promise<void> {
    using over = linkSignals(this.#leaving.signal, this.#aborted.signal);
    await tellWhatHolds(this.#parts, this.#parts.times.drainLogMs, over.signal);
  }

  #adopt(channel: WorkerChannel, welcome: Welcome, { hello, at }: SaidHello<"worker">): HubHandlers {
    const { leases, offers, heartbeat, tunnel, introduction, connection } = this.#parts;
    heartbeat.start(channel, welcome.intervals, at);
    if (this.#state === "connecting") this.#enter("ready");
    const inbox = new Inbox(
      {
        leases,
        offers,
        heartbeat,
        tunnel,
        drain: (deadlineMs) => void this.drain(deadlineMs),
        goAway: () => connection.replace(),
      },
      channel,
    );
    if (this.#state === "draining") introduction.tellDraining();
    tunnel.attach(channel, hello.routes);
    leases.greeted(hello.leases);
    inbox.resume(hello.leases, welcome.verdicts);
    introduction.tellChangedProfiles(hello);
    return inbox;
  }

  #lost(channel: WorkerChannel): void {
    const { heartbeat, leases } = this.#parts;
    heartbeat.stopBeats();
    for (const lease of leases.all()) if (lease.output.channel === channel) lease.output.detach();
    if (this.#state === "ready") this.#enter("connecting");
  }

  #cutOff(): void {
    const { leases, log } = this.#parts;
    const running = leases.refs().map(({ lease }) => lease);
    if (running.length === 0) return;
    log.warn({ leases: running }, "cut off from the hub too long; stopping all sandboxes");
    leases.stopAll("cut_off");
  }

  /** A worker that drains would otherwise wait for ever for a hub that never comes back. */
  #expired(): void {
    const { leases, log } = this.#parts;
    const over = leases.all();
    if (over.length === 0) return;
    log.warn({ leases: over.map(({ ref }) => ref.lease) }, "leases are over, nothing of them is reported");
    for (const lease of over) leases.abandon(lease);
  }

  #enter(state: WorkerState): void {
    this.#state = step(this.#state, state);
  }
}
