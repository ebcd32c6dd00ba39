/** Renews the leases, and stops what they hold when that has not worked for too long. */
import { maxTimerMs, Notifier } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import { defaultIntervals, type Intervals, type WorkerMessage } from "../protocol/index.ts";
import type { WorkerChannel } from "../channel/index.ts";

type Beat = Omit<Extract<WorkerMessage, { type: "heartbeat" }>, "type" | "seq">;

export interface HeartbeatDeps {
  /** What a beat tells */
  beat: () => Beat;
  /** The hub has renewed nothing for `selfStopMs`, so soon it will give the leases to others */
  cutOff: () => void;
  /** The hub has renewed nothing for `leaseMs`: whatever was held is over, and its results are nobody's */
  expired: () => void;
}

/** `ms` between a beat that was asked for and the one before it, at least */
const leastGapMs = 250;
/** how long what changed waits to be told, `ms`: the job that changed it goes first */
const settleMs = 50;

/**
 * Runs from the first welcome until it is disposed, whatever state the worker is in. The time of a renewal is when its beat was
 * sent: the hub cannot have renewed earlier. All on the monotonic clock.
 */
export class Heartbeat implements Disposable {
  readonly #deps: HeartbeatDeps;
  #intervals: Readonly<Intervals> = defaultIntervals;
  #channel: WorkerChannel | undefined;
  #seq = 0;
  /** the last beat that was answered */
  #acknowledged = 0;
  readonly #answers = new Notifier();
  /** send times of beats that were not answered on this channel, by `seq` */
  #open = new Map<number, number>();
  #renewedAt = 0;
  #beats: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  /** monotonic `ms` */
  #lastAt = Number.NEGATIVE_INFINITY;
  #selfStop: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;

  constructor(deps: HeartbeatDeps) {
    this.#deps = deps;
  }

  /** As the hub told them last */
  get intervals(): Readonly<Intervals> {
    return this.#intervals;
  }

  /** Whether the last renewal is young enough that nobody else can have the leases */
  get renewed(): boolean {
    return this.#left(this.#intervals.selfStopMs) > 0;
  }

  /** Beats over `channel`, whose welcome answered a hello of `renewedAt` (monotonic `ms`). */
  start(channel: WorkerChannel, intervals: Readonly<Intervals>, renewedAt: number): void {
    this.stopBeats();
    this.#channel = channel;
    this.#intervals = intervals;
    this.#open.clear();
    this.#renewed(renewedAt);
    this.#beats = setInterval(() => this.#beat(), intervals.heartbeatMs);
  }

  /** What beats tell has changed enough not to wait for the next one; many changes in a row are told by one. */
  soon(): void {
    if (this.#channel === undefined || this.#soon !== undefined) return;
    const ms = Math.max(settleMs, this.#lastAt + leastGapMs - performance.now());
    this.#soon = setTimeout(() => this.#beat(), ms);
  }

  /** The channel is over: no beats until the next, while the time runs on. */
  stopBeats(): void {
    clearInterval(this.#beats);
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#channel = undefined;
  }

  /** Resolves once the hub has taken all it was sent before this call, over whichever channel; rejects with the signal's reason. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const before = this.#seq;
    if (this.#channel !== undefined) this.#beat();
    while (this.#acknowledged <= before) await this.#answers.wait(signal);
  }

  acknowledged(seq: number): void {
    const sentAt = this.#open.get(seq);
    if (sentAt === undefined) return;
    this.#acknowledged = seq;
    this.#answers.notify();
    for (const earlier of this.#open.keys()) if (earlier <= seq) this.#open.delete(earlier);
    this.#renewed(sentAt);
  }

  [Symbol.dispose](): void {
    this.stopBeats();
    clearTimeout(this.#selfStop);
    clearTimeout(this.#expiry);
  }

  /** A channel on which nobody answers is no better than none. */
  #beat(): void {
    const now = performance.now();
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#lastAt = now;
    const oldest = this.#open.values().next().value;
    if (oldest !== undefined && now - oldest >= this.#intervals.suspectMs) {
      this.#channel?.abort(
        new SallyportError(
          "channel_closed",
          `the hub answered no heartbeat for ${this.#intervals.suspectMs} ms`,
        ),
      );
      return;
    }
    this.#seq += 1;
    this.#open.set(this.#seq, now);
    this.#channel?.send({ type: "heartbeat", seq: this.#seq, ...this.#deps.beat() });
  }

  #renewed(at: number): void {
    this.#renewedAt = Math.max(this.#renewedAt, at);
    clearTimeout(this.#selfStop);
    clearTimeout(this.#expiry);
    const { selfStopMs, leaseMs } = this.#intervals;
    this.#selfStop = setTimeout(() => this.#deps.cutOff(), this.#left(selfStopMs));
    this.#expiry = setTimeout(() => this.#deps.expired(), this.#left(leaseMs));
  }

  /** `ms` until the last renewal is `age` old, as far as a timer can count */
  #left(age: number): number {
    return Math.min(Math.max(0, this.#renewedAt + age - performance.now()), maxTimerMs);
  }
}
