/** Keeps one live channel to the hub: one loop that dials, says hello and waits until it must do so again. */
import {
  abortable,
  Backoff,
  deadlineSignal,
  deferred,
  linkSignals,
  sleep,
  withDeadline,
} from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { WorkerChannel } from "../channel/index.ts";
import type { WorkerTimes } from "./contract.ts";
import { handshake, type Hello, type HubHandlers, type Welcome } from "./handshake.ts";
import type { Uplink } from "./uplink.ts";

export interface ConnectionDeps {
  dial: (signal: AbortSignal) => Promise<WorkerChannel>;
  uplink: Uplink;
  log: Log;
  hello: () => Hello;
  /** The hub welcomed us on `channel`, which is current by now. */
  welcomed: (channel: WorkerChannel, welcome: Welcome, hello: SaidHello) => HubHandlers;
  /** How long the next wait before dialling may be, in `ms`: what is held must not run out meanwhile. */
  longestWaitMs: () => number;
  /** `channel` was the current one and is over; there is none now. */
  lost: (channel: WorkerChannel) => void;
}

/** The `hello` that was said, and when (monotonic `ms`). */
export interface SaidHello {
  hello: Hello;
  at: number;
}

export class Connection {
  readonly #deps: ConnectionDeps;
  readonly #times: WorkerTimes;
  #goAway = deferred<void>();

  constructor(deps: ConnectionDeps, times: WorkerTimes) {
    this.#deps = deps;
    this.#times = times;
  }

  /** The hub is about to leave: a new channel takes over from the one it said so on. */
  replace(): void {
    this.#goAway.resolve();
  }

  /** Resolves when `signal` fires and the channel is closed; nothing else ends it. */
  async run(signal: AbortSignal): Promise<void> {
    const { backoffBaseMs, backoffCapMs, stableMs } = this.#times;
    const backoff = new Backoff({ baseMs: backoffBaseMs, capMs: backoffCapMs });
    while (!signal.aborted) {
      try {
        const channel = await this.#connect(signal);
        const since = performance.now();
        await abortable(Promise.race([channel.closed, this.#goAway.promise]), signal);
        if (performance.now() - since >= stableMs) backoff.reset();
        await sleep(backoff.next(this.#deps.longestWaitMs()), signal);
      } catch (error) {
        if (signal.aborted) break;
        const retryMs = Math.round(backoff.next(this.#deps.longestWaitMs()));
        this.#deps.log.warn({ err: error, retryMs }, "no connection to the hub");
        await sleep(retryMs, signal).catch(() => undefined);
      }
    }
    await this.#leave(SallyportError.from(signal.reason, "shutting_down"));
  }

  async #connect(signal: AbortSignal): Promise<WorkerChannel> {
    using deadline = deadlineSignal(this.#times.connectMs, "connecting to the hub");
    using either = linkSignals(signal, deadline.signal);
    const dialling = this.#deps.dial(either.signal);
    let channel: WorkerChannel;
    try {
      channel = await abortable(dialling, either.signal);
    } catch (error) {
      dialling.then(
        (late) => late.abort(SallyportError.from(error)),
        () => undefined,
      );
      throw error;
    }
    try {
      const said = { hello: this.#deps.hello(), at: performance.now() };
      await handshake(channel, said.hello, (welcome) => this.#adopt(channel, welcome, said), either.signal);
      return channel;
    } catch (error) {
      channel.abort(SallyportError.from(error));
      throw error;
    }
  }

  /** The new channel is current before the old one is closed, so nothing is without a channel in between. */
  #adopt(channel: WorkerChannel, welcome: Welcome, said: SaidHello): HubHandlers {
    const { uplink, log, welcomed, lost } = this.#deps;
    const before = uplink.current;
    this.#goAway = deferred();
    uplink.set(channel);
    void channel.closed.then((reason) => {
      if (uplink.current !== channel) return;
      uplink.set(undefined);
      log.info(
        { peer: channel.peer, reason: reason.code, detail: reason.message },
        "disconnected from the hub",
      );
      lost(channel);
    });
    const handlers = welcomed(channel, welcome, said);
    log.info({ peer: channel.peer, hub: welcome.hubId, session: welcome.session }, "connected to the hub");
    void before?.close(new SallyportError("hub_draining", "the worker goes on over a new channel"));
    return handlers;
  }

  async #leave(reason: SallyportError): Promise<void> {
    const channel = this.#deps.uplink.current;
    if (channel === undefined) return;
    this.#deps.uplink.set(undefined);
    await withDeadline(channel.close(reason), this.#times.farewellMs, "closing the channel").catch(() =>
      channel.abort(reason),
    );
  }
}
