/** Byte streams in both directions over one channel: a `tunnel` stream there, the `tunnel.reply` that answers it back. */
import { abortable, deferred, type Deferred } from "../async/index.ts";
import { isError, SallyportError } from "../errors.ts";
import { limits, type TunnelReply, type TunnelStream } from "../protocol/index.ts";
import type { IncomingStream, OutgoingStream } from "./contract.ts";

/** The part of a channel that byte streams need. */
export interface ByteChannel {
  open(meta: TunnelStream | TunnelReply): OutgoingStream;
}

/** The two halves, each with its own window. */
export interface BytePair {
  readonly out: OutgoingStream;
  readonly in: IncomingStream<TunnelStream | TunnelReply>;
}

export class ByteStreams {
  readonly #channel: ByteChannel;
  /** by the id of the stream that waits for its reply */
  readonly #waiting = new Map<number, Deferred<IncomingStream<TunnelReply>>>();

  constructor(channel: ByteChannel) {
    this.#channel = channel;
  }

  /**
   * Resolves once the far end answered. Throws what it reset the stream with, `channel_closed`, `capacity_exhausted` or the signal's
   * reason; not a byte was sent then.
   */
  async open(meta: TunnelStream, signal?: AbortSignal): Promise<BytePair> {
    signal?.throwIfAborted();
    const out = this.#channel.open(meta);
    const reply = deferred<IncomingStream<TunnelReply>>();
    this.#waiting.set(out.id, reply);
    out.finished.catch((error: unknown) => reply.reject(reasonOf(error)));
    try {
      return { out, in: await abortable(reply.promise, signal) };
    } catch (error) {
      out.reset(givenUp(error));
      throw error;
    } finally {
      this.#waiting.delete(out.id);
    }
  }

  /** Answers a stream the far end opened. Throws `capacity_exhausted` or `channel_closed`; the stream is reset then. */
  accept(stream: IncomingStream<TunnelStream>): BytePair {
    try {
      const out = this.#channel.open({ kind: "tunnel.reply", of: stream.id });
      out.finished.catch(() => undefined);
      return { out, in: stream };
    } catch (error) {
      stream.reset(givenUp(error));
      throw error;
    }
  }

  /** Takes a reply to its opener; one that nobody waits for any more is reset. */
  replied(stream: IncomingStream<TunnelReply>): void {
    const waiting = this.#waiting.get(stream.meta.of);
    if (waiting === undefined || waiting.settled) {
      stream.reset(new SallyportError("cancelled", `nobody waits for a reply to stream ${stream.meta.of}`));
      return;
    }
    waiting.resolve(stream);
  }
}

/** Grants what is taken from a stream, a quarter of a window at a time: a short exchange costs no credit frame at all. */
export class Taken {
  readonly #stream: Pick<IncomingStream<unknown>, "grant">;
  #bytes = 0;

  constructor(stream: Pick<IncomingStream<unknown>, "grant">) {
    this.#stream = stream;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < limits.streamWindow / 4) return;
    this.#stream.grant(this.#bytes);
    this.#bytes = 0;
  }
}

/** What the far end gave a stream up for, rather than that it did. */
export function reasonOf(error: unknown): unknown {
  return isError(error, "stream_reset") && isError(error.cause) ? error.cause : error;
}

/** As it is told to the far end. */
export function givenUp(error: unknown): SallyportError {
  if (isError(error)) return error;
  return new SallyportError("cancelled", "the byte stream was given up", { cause: error });
}
