import { abortable } from "./abort.ts";
import { deferred, type Deferred } from "./deferred.ts";

/** Wakes whoever waits, once per `notify`; a loop takes `wait()` before it looks at its state, so no wake is lost. */
export class Notifier {
  #next: Deferred<void> | undefined;

  notify(): void {
    const waiting = this.#next;
    this.#next = undefined;
    waiting?.resolve();
  }

  /** Resolves at the next `notify`; rejects with the signal's reason. */
  wait(signal?: AbortSignal): Promise<void> {
    this.#next ??= deferred<void>();
    return abortable(this.#next.promise, signal);
  }
}
