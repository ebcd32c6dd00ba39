/** Blots secrets out of a stream of bytes, wherever their pieces lie. */
import { Transform, type TransformCallback } from "node:stream";
import type { Blotter } from "./spellings.ts";

/** Keeps the length of what it carries; keeps back only what may be the beginning of a secret. */
export class Redaction extends Transform {
  readonly #blotter: Blotter;
  #held: Buffer = Buffer.alloc(0);

  constructor(blotter: Blotter) {
    // a reply in crumbs costs far more than its bytes while it is held
    super({ highWaterMark: 1 });
    this.#blotter = blotter;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const { clean, settled } = this.#blotter.blot(bytes, false);
    this.#held = clean.subarray(settled);
    done(null, settled === 0 ? undefined : clean.subarray(0, settled));
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#held.length === 0 ? undefined : this.#blotter.blot(this.#held, true).clean);
  }
}
