import { deferred, type Deferred } from "../async/index.ts";

interface Entry {
  bytes: number;
  turn: Deferred<void>;
}

/** Bytes that may be taken at once; who finds too few free waits in line. */
export class ByteRoom {
  readonly #all: number;
  #free: number;
  readonly #line: Entry[] = [];

  constructor(bytes: number) {
    this.#all = bytes;
    this.#free = bytes;
  }

  /** Takes `bytes`, or all there are where that is fewer, until what it resolves with is disposed. Rejects with the signal's reason. */
  async enter(bytes: number, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const entry = { bytes: Math.min(bytes, this.#all), turn: deferred<void>() };
    const giveUp = (): void => this.#giveUp(entry, signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    this.#line.push(entry);
    this.#admit();
    try {
      await entry.turn.promise;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
    const place = this.#placeOf(entry);
    if (!signal.aborted) return place;
    place[Symbol.dispose]();
    throw signal.reason;
  }

  #placeOf({ bytes }: Entry): Disposable {
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (left) return;
        left = true;
        this.#free += bytes;
        this.#admit();
      },
    };
  }

  #giveUp(entry: Entry, reason: unknown): void {
    const at = this.#line.indexOf(entry);
    if (at === -1) return;
    this.#line.splice(at, 1);
    entry.turn.reject(reason);
    this.#admit();
  }

  #admit(): void {
    for (;;) {
      const [first] = this.#line;
      if (first === undefined || first.bytes > this.#free) return;
      this.#line.shift();
      this.#free -= first.bytes;
      first.turn.resolve();
    }
  }
}
