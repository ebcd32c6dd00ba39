/** Carries one exec's log from its spool to the hub, over as many channels as it takes. */
import { Backoff, deferred, type Deferred } from "../async/index.ts";
import { isError, SallyportError } from "../errors.ts";
import { limits, type LeaseRef } from "../protocol/index.ts";
import type { Log } from "../log.ts";
import type { OutgoingStream } from "../channel/index.ts";
import type { WorkerChannel } from "../channel/index.ts";
import type { Spool } from "./spool.ts";

/** Part of the log that will never reach the hub, half-open */
export interface Missing {
  from: number;
  to: number;
}

/** One stream on one channel. */
interface Link {
  channel: WorkerChannel;
  stream: OutgoingStream | undefined;
  /** position of the stream's first byte */
  base: number;
  /** position of the next byte to write */
  at: number;
  busy: boolean;
  ended: boolean;
}

/** A hub that refuses the stream for good this often in a row does not want it. */
const maxRefusals = 3;

export class OutputStream implements Disposable {
  readonly #deps: { spool: Spool; log: Log };
  readonly #ref: LeaseRef;
  readonly #delivered: Deferred<Missing | null> = deferred();
  readonly #backoff = new Backoff({ baseMs: 200, capMs: 5_000 });
  #link: Link | undefined;
  #refusals = 0;
  #retry: NodeJS.Timeout | undefined;
  #lostFrom: number | undefined;

  constructor(deps: { spool: Spool; log: Log }, ref: LeaseRef) {
    this.#deps = deps;
    this.#ref = ref;
    deps.spool.onGrowth(() => this.#progress());
  }

  /** Resolves once the log has ended and all of it is confirmed (null), or with the part that cannot be any more. */
  get delivered(): Promise<Missing | null> {
    return this.#delivered.promise;
  }

  /** The channel it writes to */
  get channel(): WorkerChannel | undefined {
    return this.#link?.channel;
  }

  /** Goes on over `channel` at position `from`, which the hub named; what it has is confirmed by that. */
  attach(channel: WorkerChannel, from: number): void {
    this.detach();
    this.#refusals = 0;
    this.#open(channel, from);
  }

  /** Stops writing; the spool keeps what is not confirmed. */
  detach(): void {
    clearTimeout(this.#retry);
    const link = this.#link;
    this.#link = undefined;
    this.#deps.spool.detached = true;
    link?.stream?.reset(new SallyportError("stream_reset", "the log goes on over another stream"));
  }

  /** The hub has lost what it once confirmed, or cannot be given the rest: from `position` on nothing will be whole. */
  giveUp(position: number): void {
    this.detach();
    this.#lostFrom = Math.min(this.#lostFrom ?? position, position);
    this.#deps.spool.confirm(this.#deps.spool.to);
    this.#progress();
  }

  [Symbol.dispose](): void {
    this.detach();
  }

  #open(channel: WorkerChannel, from: number): void {
    const { spool } = this.#deps;
    spool.confirm(from);
    const base = spool.from;
    this.#link = { channel, stream: undefined, base, at: base, busy: false, ended: false };
    spool.detached = this.#lostFrom !== undefined;
    this.#progress();
  }

  #progress(): void {
    const { spool } = this.#deps;
    if (this.#lostFrom !== undefined) spool.confirm(spool.to);
    const link = this.#link;
    if (link !== undefined && !link.busy && this.#lostFrom === undefined) this.#write(link);
    if (spool.ended && spool.from === spool.to) {
      this.#delivered.resolve(this.#lostFrom === undefined ? null : { from: this.#lostFrom, to: spool.to });
    }
  }

  #write(link: Link): void {
    const { spool } = this.#deps;
    try {
      if (link.at < spool.to) {
        link.busy = true;
        const bytes = spool.read(link.at, limits.frameBytes);
        if (bytes instanceof Uint8Array) this.#send(link, bytes);
        else
          bytes.then(
            (read) => this.#send(link, read),
            (error: unknown) => this.#unreadable(link, error),
          );
      } else if (spool.ended && !link.ended && link.stream !== undefined) {
        link.ended = true;
        link.stream.end();
      }
    } catch (error) {
      this.#broken(link, error);
    }
  }

  #send(link: Link, bytes: Uint8Array): void {
    if (link !== this.#link) return;
    try {
      link.stream ??= this.#openStream(link);
      link.at += bytes.length;
      link.stream.write(bytes).then(
        () => {
          link.busy = false;
          if (link === this.#link) this.#progress();
        },
        (error: unknown) => this.#broken(link, error),
      );
    } catch (error) {
      this.#broken(link, error);
    }
  }

  #openStream(link: Link): OutgoingStream {
    const stream = link.channel.open({ kind: "output", ...this.#ref, from: link.base });
    stream.onGrant((granted) => this.#confirmed(link, link.base + granted));
    stream.finished.then(
      () => this.#finished(link),
      (error: unknown) => this.#broken(link, error),
    );
    return stream;
  }

  /** Nothing of the stream is left to reset. */
  #finished(link: Link): void {
    link.stream = undefined;
    this.#confirmed(link, link.at);
  }

  #confirmed(link: Link, position: number): void {
    if (link !== this.#link) return;
    this.#refusals = 0;
    this.#backoff.reset();
    this.#deps.spool.confirm(position);
    this.#progress();
  }

  /** A channel that is over is replaced by the connection; a stream that was reset is opened anew on the same channel. */
  #broken(link: Link, error: unknown): void {
    if (link !== this.#link) return;
    const { spool, log } = this.#deps;
    link.stream = undefined;
    this.detach();
    if (isError(error, "channel_closed")) return;
    if (!isPassing(error)) this.#refusals += 1;
    if (this.#refusals > maxRefusals) {
      log.error({ ...this.#ref, err: error }, "the hub does not take the output; giving it up");
      this.giveUp(spool.from);
      return;
    }
    this.#retry = setTimeout(() => this.#open(link.channel, spool.from), this.#backoff.next());
  }

  #unreadable(link: Link, error: unknown): void {
    if (link !== this.#link) return;
    this.#deps.log.error({ ...this.#ref, err: error }, "spooled output cannot be read back");
    this.giveUp(this.#deps.spool.from);
  }
}

/** The hub cannot take it now, but may later: a store that is full or away. */
function isPassing(error: unknown): boolean {
  return isError(error) && isError(error.cause) && error.cause.retryable;
}
