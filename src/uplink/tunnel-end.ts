/** This process's end of the tunnel, whatever channel is live: the way to routes of others, and the routes it offers itself. */
import type { Duplex } from "node:stream";
import { deadlineSignal, linkSignals, Notifier } from "../async/index.ts";
import type { IncomingStream, WorkerChannel } from "../channel/index.ts";
import { isError, SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { HubStream, OfferedRoute, Route, TunnelReply, TunnelStream } from "../protocol/index.ts";
import { ChannelEnd } from "./channel-end.ts";

/** Upstreams this process can reach. */
export interface TunnelOffer {
  routes(): readonly OfferedRoute[];
  /** Routes or their health changed. */
  onChange(listener: () => void): Disposable;
  /** Serves one caller; never rejects, ends with the stream. */
  serve(bytes: Duplex, caller: { readonly peer: string }): void;
  /** Resolves once no request is under way; nothing new comes by then. */
  drain(): Promise<void>;
}

export interface TunnelTarget {
  readonly host: string;
  /** only this one will do */
  readonly connector?: string | undefined;
  readonly requestId: string;
}

export interface TunnelEndOptions {
  /** how long a connection may wait for a channel that is being dialled anew, `ms`; 5 s by default */
  reconnectMs?: number;
}

/** characters of a reason that are told */
const reasonLength = 256;

export class TunnelEnd implements Disposable {
  readonly #log: Log;
  readonly #reconnectMs: number;
  readonly #listeners = new Set<() => void>();
  readonly #changed = new Notifier();
  readonly #ends = new Map<WorkerChannel, ChannelEnd>();
  #known: readonly Route[] = [];
  #offer: TunnelOffer | undefined;
  #watch: Disposable | undefined;
  #current: ChannelEnd | undefined;
  #draining = false;
  #telling = false;

  constructor(deps: { log: Log }, { reconnectMs = 5_000 }: TunnelEndOptions = {}) {
    this.#log = deps.log;
    this.#reconnectMs = reconnectMs;
  }

  /** Every route the hub knows; while there is no channel, those it knew last */
  routes(): readonly Route[] {
    return this.#known;
  }

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /**
   * A byte stream to a proxy for the host. Throws `route_unknown`, `route_unavailable` or `channel_closed` with the `layer` in its
   * details, or the signal's reason; nothing was sent then.
   */
  async open({ host, connector, requestId }: TunnelTarget, signal: AbortSignal): Promise<Duplex> {
    const end = await this.#live(signal);
    try {
      return await end.open(
        { kind: "tunnel", host, requestId, ...(connector !== undefined && { connector }) },
        signal,
      );
    } catch (error) {
      if (!isError(error, "channel_closed", "capacity_exhausted")) throw error;
      throw new SallyportError(error.code, error.message, { details: { layer: "edge" }, cause: error });
    }
  }

  /** From here on these routes are told to the hub, and its streams are served. Called once. */
  offer(offer: TunnelOffer): void {
    if (this.#offer !== undefined) throw new SallyportError("internal", "a tunnel end has one offer");
    this.#offer = offer;
    this.#watch = offer.onChange(() => this.#tellSoon());
    this.#tellSoon();
  }

  /** What the hub is told of */
  offered(): OfferedRoute[] {
    if (this.#draining) return [];
    return (this.#offer?.routes() ?? []).map(({ host, name, state, layer, reason, checkedAt }) => {
      return { host, name, state, layer, reason: reason?.slice(0, reasonLength) ?? null, checkedAt };
    });
  }

  /** Takes a channel the hub welcomed; `told` is what its hello said. */
  attach(channel: WorkerChannel, told: readonly OfferedRoute[]): void {
    const end = new ChannelEnd(channel, told);
    this.#ends.set(channel, end);
    this.#current = end;
    this.#changed.notify();
    void channel.closed.then(() => {
      this.#ends.delete(channel);
      if (this.#current === end) this.#current = undefined;
    });
    this.#tellSoon();
  }

  /** The hub's list. */
  told(routes: readonly Route[]): void {
    if (JSON.stringify(routes) === JSON.stringify(this.#known)) return;
    this.#known = Object.freeze([...routes]);
    for (const listener of this.#listeners) listener();
  }

  /** A stream the hub opened on `channel`. */
  stream(channel: WorkerChannel, stream: IncomingStream<HubStream>): void {
    const end = this.#ends.get(channel);
    if (end === undefined) return;
    if (isReply(stream)) end.replied(stream);
    else if (isTunnel(stream)) this.#serve(end, channel.peer, stream);
    else
      throw new SallyportError(
        "protocol_violation",
        `a stream of kind ${stream.meta.kind} has no place here`,
      );
  }

  #serve(end: ChannelEnd, hub: string, stream: IncomingStream<TunnelStream>): void {
    const { caller, requestId, host } = stream.meta;
    const offer = this.#offer;
    if (offer === undefined || this.#draining) {
      const why = offer === undefined ? "offers no routes" : "takes nothing new, it is about to stop";
      const details = { layer: "edge", host };
      stream.reset(new SallyportError("route_unavailable", `this connector ${why}`, { details }));
      return;
    }
    try {
      const bytes = end.accept(stream);
      offer.serve(bytes, { peer: `${caller ?? `hub ${hub}`} (${requestId})` });
    } catch (error) {
      this.#log.warn({ err: error, requestId, host }, "caller not served");
    }
  }

  /** Resolves once no byte stream is open on `channel`. */
  async quiet(channel: WorkerChannel): Promise<void> {
    await this.#ends.get(channel)?.quiet();
  }

  /** byte streams open on the live channel */
  get active(): number {
    return this.#current?.active ?? 0;
  }

  /** Takes nothing new; resolves once no request of the offer is under way. */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.#offer?.drain();
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.#listeners.clear();
  }

  /** A channel that broke is dialled anew, mostly within a second. */
  async #live(signal: AbortSignal): Promise<ChannelEnd> {
    if (this.#current !== undefined) return this.#current;
    using deadline = deadlineSignal(this.#reconnectMs, "connecting to the hub");
    using either = linkSignals(signal, deadline.signal);
    try {
      while (this.#current === undefined) await this.#changed.wait(either.signal);
      return this.#current;
    } catch (cause) {
      signal.throwIfAborted();
      const details = { layer: "edge" };
      throw new SallyportError("channel_closed", "there is no channel to the hub", { details, cause });
    }
  }

  /** Several changes of one turn are told as one. */
  #tellSoon(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      this.#current?.tell(this.offered());
    });
  }
}

function isReply(stream: IncomingStream<HubStream>): stream is IncomingStream<TunnelReply> {
  return stream.meta.kind === "tunnel.reply";
}

function isTunnel(stream: IncomingStream<HubStream>): stream is IncomingStream<TunnelStream> {
  return stream.meta.kind === "tunnel";
}
