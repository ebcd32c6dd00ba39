import { Notifier } from "../../async/index.ts";

export type WakeReason =
  "job queued" | "worker ready" | "slot free" | "lease ended" | "offer answered" | "offer returned" | "timer";

/** After these somebody may wait whom no look has seen */
const newcomers: ReadonlySet<WakeReason> = new Set(["job queued", "offer returned"]);

/** How events reach the dispatch loop: they say that something changed, it finds out what can be done. */
export class Wake {
  readonly #notifier = new Notifier();
  readonly #onReason: (reason: WakeReason) => void;
  #clear = false;
  #arrivals = 0;

  constructor(onReason: (reason: WakeReason) => void) {
    this.#onReason = onReason;
  }

  because(reason: WakeReason): void {
    if (newcomers.has(reason)) {
      this.#arrivals += 1;
      this.#clear = false;
    }
    this.#onReason(reason);
    this.#notifier.notify();
  }

  /** Resolves at the next wake; to be taken before looking at what there is to do. */
  wait(): Promise<void> {
    return this.#notifier.wait();
  }

  /** Nobody is known to wait, so who comes now takes nobody's turn. */
  get clear(): boolean {
    return this.#clear;
  }

  /** To be called before a look; tell what it returns whether the look leaves anybody waiting. */
  looks(): (leaves: boolean) => void {
    const arrivals = this.#arrivals;
    return (leaves) => {
      this.#clear = !leaves && arrivals === this.#arrivals;
    };
  }
}
