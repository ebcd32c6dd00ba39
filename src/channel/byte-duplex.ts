import { Duplex } from "node:stream";
import { givenUp, reasonOf, Taken, type BytePair } from "./byte-streams.ts";

/**
 * A byte stream as Node's: `end` is half-close, `destroy` resets both halves and tells the far end the error, a reset from there
 * destroys it with the far end's `SallyportError`. It reads on only as it is read, and lets the far end send on only then.
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
  #inEnded = false;

  constructor(pair: BytePair) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#pair = pair;
    this.#chunks = pair.in.chunks[Symbol.asyncIterator]();
    this.#taken = new Taken(pair.in);
    pair.out.finished.catch((error: unknown) => this.#lost(error));
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

  override _destroy(error: Error | null, done: Done): void {
    if (!this.#outEnded || !this.#inEnded) {
      const reason = givenUp(error ?? undefined);
      this.#pair.out.reset(reason);
      this.#pair.in.reset(reason);
    }
    done(error);
  }

  async #send(chunks: { chunk: Uint8Array }[], done: Done): Promise<void> {
    try {
      await Promise.all(chunks.map(({ chunk }) => this.#pair.out.write(chunk)));
    } catch (error) {
      done(reasonOf(error) as Error);
      return;
    }
    done();
  }

  async #next(): Promise<void> {
    try {
      const { done, value } = await this.#chunks.next();
      if (this.destroyed) return;
      if (done === true) {
        this.#inEnded = true;
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
    if (!this.#outEnded || !this.#inEnded) this.destroy(reasonOf(error) as Error);
  }
}
