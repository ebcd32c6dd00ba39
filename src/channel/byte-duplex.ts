import { Duplex } from "node:stream";
import { givenUp, reasonOf, Taken, type BytePair } from "./byte-streams.ts";

/**
 * A byte stream as Node's: `end` is half-close, and `destroy` tells the far end the error and resets what has not ended. `close`
 * comes once the far end has all it was given, or cannot have it. A reset from there destroys it with the far end's
 * `SallyportError`; where only writing is over, as with TCP, what is written before the reply is read goes nowhere, and what is
 * written after it fails. It reads on only as it is read, and lets the far end send on only then.
 */
export function byteDuplex(pair: BytePair): Duplex {
  return new ByteDuplex(pair);
}

type Done = (error?: Error | null) => void;

class ByteDuplex extends Duplex {
  readonly #pair: BytePair;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #taken: Taken;
  #outEnded = false;

  constructor(pair: BytePair) {
    // the windows bound what waits; held here as it came, a crumb would cost a hundred times its bytes
    super({ allowHalfOpen: true, decodeStrings: true, highWaterMark: 1 });
    this.#pair = pair;
    this.#chunks = pair.in.chunks[Symbol.asyncIterator]();
    this.#taken = new Taken(pair.in);
    pair.out.finished.catch((error: unknown) => {
      if (pair.in.broken) this.#lost(error);
    });
  }

  override _read(): void {
    void this.#next();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: Done): void {
    void this.#send([{ chunk }], done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: Done): void {
    void this.#send(chunks, done);
  }

  override _final(done: Done): void {
    this.#outEnded = true;
    this.#pair.out.end();
    done();
  }

  /** The far end learns that its sending broke before it learns that ours did, and so takes them for one. */
  override _destroy(error: Error | null, done: Done): void {
    const reason = givenUp(error ?? undefined);
    if (error !== null || !this.#outEnded) this.#pair.out.reset(reason);
    this.#pair.in.reset(reason);
    void this.#delivered(() => done(error));
  }

  /** The far end has all it was given, or cannot have it. */
  async #delivered(then: () => void): Promise<void> {
    await this.#pair.out.finished.catch(() => undefined);
    then();
  }

  async #send(chunks: { chunk: Uint8Array }[], done: Done): Promise<void> {
    try {
      await Promise.all(chunks.map(({ chunk }) => this.#pair.out.write(chunk)));
    } catch (error) {
      const isRead = this.readableEnded || this.#pair.in.broken;
      done(isRead ? (reasonOf(error) as Error) : null);
      return;
    }
    done();
  }

  async #next(): Promise<void> {
    try {
      const { done, value } = await this.#chunks.next();
      if (this.destroyed) return;
      if (done === true) {
        this.#pair.in.finish();
        this.push(null);
        return;
      }
      this.#taken.add(value.length);
      this.push(value);
    } catch (error) {
      this.#lost(error);
    }
  }

  #lost(error: unknown): void {
    this.destroy(reasonOf(error) as Error);
  }
}
