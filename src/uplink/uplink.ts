import { Notifier } from "../async/index.ts";
import type { WorkerChannel } from "../channel/index.ts";
import type { WorkerMessage } from "../protocol/index.ts";

/** The channel that is live right now, for everything that must outlive one channel. */
export class Uplink {
  readonly #changed = new Notifier();
  #current: WorkerChannel | undefined;

  get current(): WorkerChannel | undefined {
    return this.#current;
  }

  set(channel: WorkerChannel | undefined): void {
    this.#current = channel;
    this.#changed.notify();
  }

  /** Lost when there is no channel; whatever must not be lost is said again at the next one. */
  send(message: WorkerMessage): void {
    this.#current?.send(message);
  }

  /** Resolves with a live channel that is not `last`; rejects with the signal's reason. */
  async after(last: WorkerChannel | undefined, signal: AbortSignal): Promise<WorkerChannel> {
    for (;;) {
      const changed = this.#changed.wait(signal);
      changed.catch(() => undefined);
      if (this.#current !== undefined && this.#current !== last) return this.#current;
      await changed;
    }
  }
}
