/** The arithmetic of one stream's window, kept by each end for itself: nothing here sends or waits. */
import { SallyportError } from "../errors.ts";

/** What the sender may still send: never more than `size` bytes that were not granted back. */
export class SendWindow {
  readonly #size: number;
  #sent = 0;
  #granted = 0;

  constructor(size: number) {
    this.#size = size;
  }

  get available(): number {
    return this.#size - (this.#sent - this.#granted);
  }

  get granted(): number {
    return this.#granted;
  }

  /** Takes up to `wanted` bytes of the window; returns how many. */
  take(wanted: number): number {
    const bytes = Math.min(wanted, this.available);
    this.#sent += bytes;
    return bytes;
  }

  /** Throws `protocol_violation` when more comes back than was sent. */
  grant(bytes: number): void {
    if (bytes > this.#sent - this.#granted) {
      throw new SallyportError("protocol_violation", `credit: ${bytes} bytes granted above what was sent`);
    }
    this.#granted += bytes;
  }
}

/** What the receiver must accept, and what it may grant. */
export class ReceiveWindow {
  readonly #size: number;
  #received = 0;
  #granted = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Throws `protocol_violation` when the sender overran its window. */
  receive(bytes: number): void {
    if (this.#received - this.#granted + bytes > this.#size) {
      throw new SallyportError("protocol_violation", `credit: ${bytes} bytes sent above the window`);
    }
    this.#received += bytes;
  }

  /** Throws `internal` when more is granted than arrived, which the far end would take for a violation. */
  grant(bytes: number): void {
    if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > this.#received - this.#granted) {
      throw new SallyportError("internal", `credit: cannot grant ${bytes} bytes, fewer arrived`);
    }
    this.#granted += bytes;
  }
}
