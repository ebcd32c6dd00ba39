/** What arrived of a stream, for its one reader: handed over as it comes where the reader waits, queued where it does not. */
import { ChunkQueue } from "../async/index.ts";
import type { SallyportError } from "../errors.ts";

type Result = IteratorResult<Uint8Array, undefined>;
type Waiting = PromiseWithResolvers<Result>;

const over: Result = { done: true, value: undefined };

export class ChunkReader implements AsyncIterableIterator<Uint8Array, undefined> {
  readonly #queue = new ChunkQueue();
  readonly #waiting: Waiting[] = [];
  #ended = false;
  #failure: SallyportError | undefined;

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  push(bytes: Uint8Array): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#queue.push(bytes);
    else waiting.resolve({ done: false, value: bytes });
  }

  /** Nothing more comes; what is here is still read. */
  end(): void {
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) waiting.resolve(over);
  }

  /** Nothing more is read. */
  fail(reason: SallyportError): void {
    this.#failure = reason;
    this.#queue.clear();
    for (const waiting of this.#waiting.splice(0)) waiting.reject(reason);
  }

  next(): Promise<Result> {
    const chunk = this.#queue.take();
    if (chunk !== undefined) return Promise.resolve({ done: false, value: chunk });
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve(over);
    const waiting = Promise.withResolvers<Result>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  /** The reader stops early. */
  return(): Promise<Result> {
    this.end();
    this.#queue.clear();
    return Promise.resolve(over);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
