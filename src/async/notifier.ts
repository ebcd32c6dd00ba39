import { deferred, type Deferred } from "./deferred.ts";

/** Wakes whoever waits, once per `notify`; a loop takes `wait()` before it looks at its state, so no wake is lost. */
export class Notifier {
  /** of all who wait without a signal, and may never look at it */
  #next: Deferred<void> | undefined;
  /** one for each who waits with a signal, so that who leaves leaves nothing here */
  readonly #waiting = new Set<() => void>();

  notify(): void {
    const next = this.#next;
    const waiting = [...this.#waiting];
    this.#next = undefined;
    this.#waiting.clear();
    next?.resolve();
    for (const wake of waiting) wake();
  }

  /** Resolves at the next `notify`; rejects with the signal's reason. */
  wait(signal?: AbortSignal): Promise<void> {
    if (signal !== undefined) return this.#waitUnless(signal);
    this.#next ??= deferred<void>();
    return this.#next.promise;
  }

  #waitUnless(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.delete(wake);
        reject(signal.reason);
      };
      if (signal.aborted) return leave();
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.add(wake);
    });
  }
}
