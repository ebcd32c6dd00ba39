import { linkSignals, Notifier, sleep } from "../async/index.ts";

export interface Patience {
  /** how long nobody must have been on the way, `ms` */
  quietMs: number;
  /** after this many `ms` it is calm enough, unless jobs crowd: what waits must not wait for ever */
  patienceMs: number;
}

/** Knows whether jobs wait for their sandbox or start in it; what is in no hurry waits meanwhile. */
export class Calm {
  readonly #changed = new Notifier();
  #active = 0;
  #crowding = 0;
  /** monotonic `ms` */
  #lastAt = Number.NEGATIVE_INFINITY;

  /** A job is on the way to its command until this is disposed. */
  disturb(): Disposable {
    let over = false;
    this.#active += 1;
    return {
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        this.#active -= 1;
        this.#lastAt = performance.now();
        if (this.#active === 0) this.#changed.notify();
      },
    };
  }

  /** A job waits until others' sandboxes are made; until this is disposed it is not calm, whatever anybody's patience. */
  crowd(): Disposable {
    let over = false;
    this.#crowding += 1;
    return {
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        this.#crowding -= 1;
        if (this.#crowding === 0) this.#changed.notify();
      },
    };
  }

  /** Rejects with the signal's reason. */
  async wait({ quietMs, patienceMs }: Patience, signal: AbortSignal): Promise<void> {
    const until = performance.now() + patienceMs;
    for (;;) {
      signal.throwIfAborted();
      if (this.#crowding > 0) {
        await this.#changed.wait(signal);
        continue;
      }
      const now = performance.now();
      const calmAt = this.#active > 0 ? until : Math.min(until, this.#lastAt + quietMs);
      if (calmAt <= now) return;
      using pause = linkSignals(signal);
      await Promise.race([this.#changed.wait(pause.signal), sleep(calmAt - now, pause.signal)]).finally(() =>
        pause.abort(undefined),
      );
    }
  }
}
