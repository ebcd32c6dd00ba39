import { SallyportError } from "../errors.ts";

const maxHeldBytes = 16 * 2 ** 20;
const maxHeld = 10_000;

/** Deliveries in order: kept until somebody listens, then made at once. */
export class Held<Handlers> {
  #waiting: ((handlers: Handlers) => void)[] = [];
  #bytes = 0;
  #handlers: Handlers | undefined;

  /** Throws what the handler throws, and `protocol_violation` when too much waits for a listener. */
  deliver(act: (handlers: Handlers) => void, bytes: number): void {
    if (this.#handlers !== undefined) {
      act(this.#handlers);
      return;
    }
    this.#bytes += bytes;
    if (this.#bytes > maxHeldBytes || this.#waiting.length >= maxHeld) {
      throw new SallyportError("protocol_violation", "message: too much was sent before anyone listened");
    }
    this.#waiting.push(act);
  }

  release(handlers: Handlers): void {
    if (this.#handlers !== undefined) throw new SallyportError("internal", "a channel has one listener");
    this.#handlers = handlers;
    let act = this.#waiting[0];
    while (act !== undefined) {
      act(handlers);
      this.#waiting.shift();
      act = this.#waiting[0];
    }
  }

  clear(): void {
    this.#waiting = [];
  }
}
