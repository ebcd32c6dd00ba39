import { IncomingMessage } from "node:http";
import { ChunkQueue } from "../async/index.ts";

/**
 * A request that holds its body as bytes while nobody reads it. Node would hold the pieces it came in, and in chunks of one byte those
 * cost hundreds of times as much.
 */
export class GatheredRequest extends IncomingMessage {
  readonly #waiting = new ChunkQueue();
  /** the stream waits for the next piece, and asks for none before it has it */
  #isAsked = false;
  #hasEnded = false;

  /** False: nothing more is read from the connection until somebody reads here. */
  override push(chunk: Buffer | null): boolean {
    const passes = chunk === null || this.#isAsked || this.readableLength === 0;
    if (this.#waiting.isEmpty && passes) return this.#pass(chunk);
    if (chunk === null) this.#hasEnded = true;
    else this.#waiting.push(chunk);
    return false;
  }

  override _read(size: number): void {
    this.#isAsked = true;
    const next = this.#waiting.take();
    if (next === undefined) super._read(size);
    else this.#pass(next);
    if (this.#hasEnded && this.#waiting.isEmpty) this.#pass(null);
  }

  #pass(chunk: Uint8Array | null): boolean {
    this.#isAsked = false;
    return super.push(chunk);
  }
}
