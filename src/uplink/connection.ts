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
import { handshake, type Greetings, type HubHandlers, type Party } from "./handshake.ts";
import type { Uplink } from "./uplink.ts";

/** In `ms`. */
export interface ConnectionTimes {
  /** from dialling to the hub's welcome */
  connectMs: number;
  /** upper bound of the first wait before dialling again */
  backoffBaseMs: number;
  /** upper bound of every such wait */
  backoffCapMs: number;
  /** a channel that stayed up this long starts the waits anew */
  stableMs: number;
  /** for the hub to take part in closing */
  farewellMs: number;
}

export interface ConnectionDeps<P extends Party> {
  dial: (signal: AbortSignal) => Promise<WorkerChannel>;
  uplink: Uplink;
  log: Log;
  hello: () => Greetings[P]["hello"];
  /** The hub welcomed us on `channel`, which is current by now. */
  welcomed: (channel: WorkerChannel, welcome: Greetings[P]["welcome"], hello: SaidHello<P>) => HubHandlers;
  /** How long the next wait before dialling may be, in `ms`: what is held must not run out meanwhile. */
  longestWaitMs: () => number;
  /** `channel` was the current one and is over; there is none now. */
  lost: (channel: WorkerChannel) => void;
  /** Resolves once nothing is under way on `channel` that would be lost with it; another took over from it. */
  quiet: (channel: WorkerChannel) => Promise<void>;
}

/** The `hello` that was said, and when (monotonic `ms`). */
export interface SaidHello<P extends Party> {
  hello: Greetings[P]["hello"];
  at: number;
}

export class Connection<P extends Party> {
  readonly #deps: ConnectionDeps<P>;
  readonly #times: ConnectionTimes;
  /** given way to a later one, and still finishing what is under way */
  readonly #retired = new Set<WorkerChannel>();
  #goAway = deferred<void>();

  constructor(deps: ConnectionDeps<P>, times: ConnectionTimes) {
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
      await handshake<P>(
        channel,
        said.hello,
        (welcome) => this.#adopt(channel, welcome, said),
        either.signal,
      );
      return channel;
    } catch (error) {
      channel.abort(SallyportError.from(error));
      throw error;
    }
  }

  /** The new channel is current before the old one is closed, so nothing is without a channel in between. */
  #adopt(channel: WorkerChannel, welcome: Greetings[P]["welcome"], said: SaidHello<P>): HubHandlers {
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
    log.info({ peer: channel.peer, hub: welcome.hubId }, "connected to the hub");
    if (before !== undefined) void this.#retire(before);
    return handlers;
  }

  /** The hub that said it leaves cuts it at its own deadline. */
  async #retire(channel: WorkerChannel): Promise<void> {
    this.#retired.add(channel);
    await Promise.race([this.#deps.quiet(channel), channel.closed]);
    await channel.close(new SallyportError("hub_draining", "this side goes on over a new channel"));
    this.#retired.delete(channel);
  }

  async #leave(reason: SallyportError): Promise<void> {
    const channels = [this.#deps.uplink.current ?? [], ...this.#retired].flat();
    this.#deps.uplink.set(undefined);
    await Promise.all(
      channels.map((channel) =>
        withDeadline(channel.close(reason), this.#times.farewellMs, "closing the channel").catch(() =>
          channel.abort(reason),
        ),
      ),
    );
  }
}
