/** What the hub sends into a job (`inputs`, `stdin`), as one sequence of bytes over as many channels as it takes. */
import { abortable, deadlineSignal, linkSignals, Notifier } from "../async/index.ts";
import { isError, SallyportError } from "../errors.ts";
import type { HubStream } from "../protocol/index.ts";
import type { IncomingStream } from "../channel/index.ts";

export interface InputOptions {
  /** `ms` to wait for a stream: the first one, and the next after one broke */
  resumeMs: number;
  /** Exact size in bytes, where it is known: then a new stream starts from the beginning and what was read is skipped */
  total?: number;
}

/** Consumed once. A chunk is granted back when the next one is asked for, that is: when it is done with here. */
export class InputSource {
  readonly #options: InputOptions;
  readonly #arrived = new Notifier();
  #waiting: IncomingStream<HubStream> | undefined;
  #current: IncomingStream<HubStream> | undefined;
  #closed: (() => SallyportError) | undefined;
  #consumed = 0;

  constructor(options: InputOptions) {
    this.#options = options;
  }

  /** The hub opened a stream; it takes the place of an earlier one. */
  offer(stream: IncomingStream<HubStream>): void {
    if (this.#closed !== undefined) {
      stream.reset(this.#closed());
      return;
    }
    this.#waiting?.reset(new SallyportError("stream_reset", "a later stream took its place"));
    this.#waiting = stream;
    this.#arrived.notify();
  }

  /** Nothing more is wanted: the hub is told why, now and at every later stream. The error is made only where somebody is told. */
  close(reason: () => SallyportError): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#waiting?.reset(reason());
    this.#current?.reset(reason());
    this.#waiting = undefined;
    this.#current = undefined;
    this.#arrived.notify();
  }

  /** Throws the signal's reason, `deadline_exceeded` when no stream comes, `protocol_violation` when the size is not `total`. */
  async *bytes(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { total } = this.#options;
    if (total === 0) return;
    for (;;) {
      const stream = await this.#next(signal);
      const skip = total === undefined ? 0 : this.#consumed;
      try {
        yield* this.#drain(stream, skip, signal);
        stream.finish();
        this.#current = undefined;
        return;
      } catch (error) {
        this.#current = undefined;
        if (!isError(error, "channel_closed", "stream_reset")) {
          stream.reset(SallyportError.from(error));
          throw error;
        }
      }
    }
  }

  async *#drain(
    stream: IncomingStream<HubStream>,
    skip: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const chunks = stream.chunks[Symbol.asyncIterator]();
    let toSkip = skip;
    for (;;) {
      const next = await abortable(chunks.next(), signal);
      if (next.done === true) break;
      const fresh = next.value.subarray(Math.min(toSkip, next.value.length));
      toSkip -= next.value.length - fresh.length;
      this.#count(fresh.length);
      if (fresh.length > 0) yield fresh;
      stream.grant(next.value.length);
    }
    const { total } = this.#options;
    if (total !== undefined && this.#consumed !== total)
      throw wrongSize(`ended after ${this.#consumed} of ${total} bytes`);
  }

  #count(bytes: number): void {
    this.#consumed += bytes;
    const { total } = this.#options;
    if (total !== undefined && this.#consumed > total) throw wrongSize(`carries more than ${total} bytes`);
  }

  async #next(signal: AbortSignal): Promise<IncomingStream<HubStream>> {
    const { resumeMs } = this.#options;
    using deadline = Number.isFinite(resumeMs) ? deadlineSignal(resumeMs, "waiting for inputs") : undefined;
    using either = linkSignals(signal, deadline?.signal);
    for (;;) {
      if (this.#closed !== undefined) throw this.#closed();
      const stream = this.#waiting;
      if (stream !== undefined) {
        this.#waiting = undefined;
        this.#current = stream;
        return stream;
      }
      await this.#arrived.wait(either.signal);
    }
  }
}

function wrongSize(what: string): SallyportError {
  return new SallyportError("protocol_violation", `the inputs stream ${what}`);
}
