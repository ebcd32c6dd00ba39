import { deferred, type Deferred } from "../../async/index.ts";

interface Entry {
  bytes: number;
  turn: Deferred<void>;
}

/** Bytes that may be taken at once; who finds too few free waits in line. */
export class BodyRoom {
  #free: number;
  readonly #line: Entry[] = [];

  constructor(bytes: number) {
    this.#free = bytes;
  }

  /**
   * Takes `bytes`, at most as many as there are in all, until `signal` fires. Resolves when they are taken; rejects with the signal's
   * reason where it fires before.
   */
  async enter(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const entry = { bytes, turn: deferred<void>() };
    signal.addEventListener("abort", () => this.#leave(entry, signal.reason), { once: true });
    this.#line.push(entry);
    this.#admit();
    await entry.turn.promise;
  }

  #leave(entry: Entry, reason: unknown): void {
    const at = this.#line.indexOf(entry);
    if (at === -1) this.#free += entry.bytes;
    else this.#line.splice(at, 1);
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
