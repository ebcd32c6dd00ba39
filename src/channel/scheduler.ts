/**
 * The data lane. Streams with something to send take turns, one frame each, and only while the transport holds little, so a
 * control message, which skips this lane, never waits behind more than `maxBuffered` bytes of data.
 */
import type { Transport } from "./transport.ts";

export interface FrameSource {
  /** The next frame, or undefined when there is nothing to send now. */
  nextFrame(): Uint8Array | undefined;
}

export const maxBuffered = 256 * 2 ** 10;

export class Scheduler {
  readonly #transport: Pick<Transport, "buffered" | "sendBinary">;
  /** in the order of their turns */
  readonly #waiting = new Set<FrameSource>();

  constructor(transport: Pick<Transport, "buffered" | "sendBinary">) {
    this.#transport = transport;
  }

  /** Says that `source` has something to send; it keeps its turn when it waits already. */
  wake(source: FrameSource): void {
    this.#waiting.add(source);
    this.pump();
  }

  forget(source: FrameSource): void {
    this.#waiting.delete(source);
  }

  pump(): void {
    for (const source of this.#waiting) {
      if (this.#transport.buffered >= maxBuffered) return;
      this.#waiting.delete(source);
      const frame = source.nextFrame();
      if (frame === undefined) continue;
      // added again it stands at the end, where this loop comes by once more
      this.#waiting.add(source);
      this.#transport.sendBinary(frame);
    }
  }
}
