import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../../src/loadtest/contract.ts";

interface Sleeper {
  at: number;
  wake: () => void;
}

/** Time that passes only when everybody waits. */
export class VirtualClock implements Clock {
  #now = 0;
  #sleepers: Sleeper[] = [];

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((wake, refuse) => {
      const abort = (): void => refuse(signal?.reason);
      if (signal?.aborted === true) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      this.#sleepers.push({ at: this.#now + ms, wake });
    });
  }

  /** Lets time pass until `work` is over. */
  async run<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const finished = work.finally(() => (over = true));
    finished.catch(() => undefined);
    for (;;) {
      await turn();
      if (over) return await finished;
      const next = this.#sleepers.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) throw new Error(`at ${this.#now} ms everybody waits for ever`);
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== next);
      this.#now = Math.max(this.#now, next.at);
      next.wake();
    }
  }
}
