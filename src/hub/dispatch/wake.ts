import { Notifier } from "../../async/index.ts";

export type WakeReason =
  "job queued" | "worker ready" | "slot free" | "lease ended" | "offer returned" | "timer";

/** How events reach the dispatch loop: they say that something changed, it finds out what can be done. */
export class Wake {
  readonly #notifier = new Notifier();
  readonly #onReason: (reason: WakeReason) => void;

  constructor(onReason: (reason: WakeReason) => void) {
    this.#onReason = onReason;
  }

  because(reason: WakeReason): void {
    this.#onReason(reason);
    this.#notifier.notify();
  }

  /** Resolves at the next wake; to be taken before looking at what there is to do. */
  wait(): Promise<void> {
    return this.#notifier.wait();
  }
}
