/** What the listener was handed and has not dealt with yet: while that is too much, nothing more is read. */
import type { Transport } from "./transport.ts";

const maxMessages = 256;
/** as text, bytes; two messages of the largest size */
const maxBytes = 8 * 2 ** 20;

export class Backlog {
  readonly #transport: Pick<Transport, "pause" | "resume">;
  #messages = 0;
  #bytes = 0;

  constructor(transport: Pick<Transport, "pause" | "resume">) {
    this.#transport = transport;
  }

  /** A message of that size is being dealt with until `handling` settles; nothing to wait for without it. */
  add(handling: Promise<unknown> | void, bytes: number): void {
    if (handling === undefined) return;
    this.#count(1, bytes);
    const over = (): void => this.#count(-1, -bytes);
    void handling.then(over, over);
  }

  #count(messages: number, bytes: number): void {
    const before = this.#isFull;
    this.#messages += messages;
    this.#bytes += bytes;
    if (this.#isFull === before) return;
    if (this.#isFull) this.#transport.pause();
    else this.#transport.resume();
  }

  get #isFull(): boolean {
    return this.#messages >= maxMessages || this.#bytes >= maxBytes;
  }
}
