import { Notifier } from "../../async/index.ts";
import type { SallyportError } from "../../errors.ts";
import { frameCostBytes, violation } from "./codec.ts";

export interface Chunk {
  bytes: Uint8Array;
}

export interface ReceiveWindowOptions {
  /** Most the guest may have on the way or waiting here, in bytes with the cost of each frame */
  window: number;
  /** Gives the guest more credit */
  grant: (bytes: number) => void;
}

/**
 * Chunks from the guest on their way to one consumer. Credit goes back only as they are consumed, so at most the window
 * waits here. A consumer that stops early lets the rest go by unread.
 */
export class ReceiveWindow<T extends Chunk> implements AsyncIterableIterator<T, undefined> {
  readonly #options: ReceiveWindowOptions;
  readonly #wake = new Notifier();
  #waiting: T[] = [];
  #credit: number;
  #owed = 0;
  #ended = false;
  #error: SallyportError | undefined;
  #abandoned = false;

  constructor(options: ReceiveWindowOptions) {
    this.#options = options;
    this.#credit = options.window;
  }

  /** Throws `guest_violation` when the guest sent more than it was given. */
  push(chunk: T): void {
    this.#credit -= costOf(chunk);
    if (this.#credit < 0) throw violation("more output than it had credit for");
    if (this.#abandoned) {
      this.#giveBack(costOf(chunk));
      return;
    }
    this.#waiting.push(keepable(chunk));
    this.#wake.notify();
  }

  /** Nothing more comes; what waits is still delivered, then `error` where there is one. */
  end(error?: SallyportError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake.notify();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      const chunk = this.#waiting.shift();
      if (chunk !== undefined) {
        this.#giveBack(costOf(chunk));
        return { done: false, value: chunk };
      }
      if (this.#error !== undefined && !this.#abandoned) throw this.#error;
      if (this.#ended || this.#abandoned) return { done: true, value: undefined };
      await this.#wake.wait();
    }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#abandoned = true;
    for (const chunk of this.#waiting.splice(0)) this.#giveBack(costOf(chunk));
    this.#wake.notify();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #giveBack(bytes: number): void {
    this.#owed += bytes;
    if (this.#ended || this.#owed < this.#options.window / 4) return;
    this.#credit += this.#owed;
    this.#options.grant(this.#owed);
    this.#owed = 0;
  }
}

function costOf(chunk: Chunk): number {
  return chunk.bytes.length + frameCostBytes;
}

/** A small view would keep the whole chunk it was read in alive while it waits. */
function keepable<T extends Chunk>(chunk: T): T {
  if (chunk.bytes.length * 2 >= chunk.bytes.buffer.byteLength) return chunk;
  return { ...chunk, bytes: Uint8Array.from(chunk.bytes) };
}
