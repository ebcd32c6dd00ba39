/** A bounded in-memory stream with one writer and one reader. */
import { deferred, type Deferred } from "../../async/index.ts";

/** `write` tells when there is room again, so that a slow reader stops the writer. */
export class Pipe<T> {
  readonly #windowBytes: number;
  readonly #sizeOf: (item: T) => number;
  #items: T[] = [];
  #bytes = 0;
  #ended = false;
  #failure: Error | undefined;
  #wake: Deferred<void> | undefined;
  #room: Deferred<void> | undefined;

  constructor(windowBytes: number, sizeOf: (item: T) => number) {
    this.#windowBytes = windowBytes;
    this.#sizeOf = sizeOf;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Nothing to wait for while there is room; what is written after the end is dropped. */
  write(item: T): Promise<void> | undefined {
    if (this.#ended) return undefined;
    this.#items.push(item);
    this.#bytes += this.#sizeOf(item);
    this.#wake?.resolve();
    if (this.#bytes < this.#windowBytes) return undefined;
    this.#room ??= deferred<void>();
    return this.#room.promise;
  }

  /** The reader gets what was written, then the end, or `failure`. */
  end(failure?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#wake?.resolve();
    this.#makeRoom();
  }

  async *read(): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const items = this.#items;
      this.#items = [];
      for (const item of items) {
        this.#bytes -= this.#sizeOf(item);
        yield item;
        if (this.#bytes < this.#windowBytes) this.#makeRoom();
      }
      if (this.#items.length > 0) continue;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return;
      this.#wake = deferred<void>();
      await this.#wake.promise;
    }
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
