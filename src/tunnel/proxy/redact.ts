/** Blots a secret out of a stream of bytes, wherever its pieces lie. */
import { Transform, type TransformCallback } from "node:stream";

/** Replaces each occurrence by as many `*`, so that lengths hold; keeps back only what may be the beginning of one. */
export class Redaction extends Transform {
  readonly #secret: Buffer;
  readonly #blot: Buffer;
  #held: Buffer = Buffer.alloc(0);

  /** `secret` is not empty. */
  constructor(secret: Buffer) {
    super();
    this.#secret = secret;
    this.#blot = Buffer.alloc(secret.length, "*");
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const clean = blotted(bytes, this.#secret, this.#blot);
    const kept = possibleBeginning(clean, this.#secret);
    this.#held = clean.subarray(kept);
    done(null, kept === 0 ? undefined : clean.subarray(0, kept));
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#held.length === 0 ? undefined : this.#held);
  }
}

/** The text with every occurrence of `secret` blotted out. */
export function redactText(text: string, secret: string): string {
  return text.replaceAll(secret, "*".repeat(secret.length));
}

function blotted(bytes: Buffer, secret: Buffer, blot: Buffer): Buffer {
  let at = bytes.indexOf(secret);
  if (at === -1) return bytes;
  const copy = Buffer.from(bytes);
  for (; at !== -1; at = copy.indexOf(secret, at + secret.length)) blot.copy(copy, at);
  return copy;
}

/** Where the longest end of `bytes` begins that is a beginning of `secret`. */
function possibleBeginning(bytes: Buffer, secret: Buffer): number {
  const first = secret[0] ?? 0;
  let at = bytes.indexOf(first, Math.max(0, bytes.length - secret.length + 1));
  for (; at !== -1; at = bytes.indexOf(first, at + 1)) {
    if (bytes.compare(secret, 0, bytes.length - at, at) === 0) return at;
  }
  return bytes.length;
}
