/** Bytes put together as they come: in however small pieces, they cost no more than about twice their size. */
export class Gathering {
  #bytes: Buffer = Buffer.alloc(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(piece: Buffer): void {
    // mostly there is one, which is kept as it is
    if (this.#size === 0) this.#bytes = piece;
    else this.#append(piece);
    this.#size += piece.length;
  }

  /** All of them; it is empty then. */
  take(): Buffer {
    const whole = this.#bytes.subarray(0, this.#size);
    this.#bytes = Buffer.alloc(0);
    this.#size = 0;
    return whole;
  }

  #append(piece: Buffer): void {
    const size = this.#size + piece.length;
    if (size > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(size, 2 * this.#size));
      this.#bytes.copy(grown, 0, 0, this.#size);
      this.#bytes = grown;
    }
    piece.copy(this.#bytes, this.#size);
  }
}
