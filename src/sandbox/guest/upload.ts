import { Notifier } from "../../async/index.ts";
import type { SallyportError } from "../../errors.ts";
import { hostFrames, inputWindowBytes, maxPayloadBytes, violation } from "./codec.ts";
import type { GuestConnection } from "./connection.ts";

/** Bytes on their way to one exec or put, never more than the guest has room for. */
export class Upload {
  readonly #connection: GuestConnection;
  readonly #id: number;
  readonly #wake = new Notifier();
  #credit = inputWindowBytes;
  #ended = false;
  #stopped: SallyportError | undefined;

  constructor(connection: GuestConnection, id: number) {
    this.#connection = connection;
    this.#id = id;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The guest has room for `bytes` more; throws `guest_violation` when it had not taken as many. */
  grant(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > inputWindowBytes) throw violation("more credit than it was sent bytes");
    this.#wake.notify();
  }

  /** Nothing more is taken; whoever sends gets `error`. The first reason stays. */
  stop(error: SallyportError): void {
    this.#stopped ??= error;
    this.#wake.notify();
  }

  /** Resolves once everything is on its way; rejects with what stopped it. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      await this.#connection.writable();
      if (this.#stopped !== undefined) throw this.#stopped;
      const length = Math.min(this.#credit, maxPayloadBytes, bytes.length - at);
      if (length === 0) {
        await this.#wake.wait();
        continue;
      }
      this.#credit -= length;
      this.#connection.send(hostFrames.data, this.#id, bytes.subarray(at, at + length));
      at += length;
    }
    if (this.#stopped !== undefined) throw this.#stopped;
  }

  end(): void {
    this.#ended = true;
    if (this.#stopped === undefined) this.#connection.send(hostFrames.end, this.#id);
  }
}
