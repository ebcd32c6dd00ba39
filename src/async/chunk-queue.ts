/** Bytes that wait for their reader. Small pieces are put together, so many tiny ones cost no more than their bytes. */
const smallBytes = 1 * 2 ** 10;
const blockBytes = 16 * 2 ** 10;

export class ChunkQueue {
  #chunks: Uint8Array[] = [];
  /** read up to here; compacted now and then */
  #head = 0;
  /** the block the last chunk is the used part of, while small pieces are still added to it */
  #block: Uint8Array | undefined;

  push(bytes: Uint8Array): void {
    if (bytes.length >= smallBytes) {
      this.#block = undefined;
      this.#chunks.push(bytes);
      return;
    }
    const last = this.#chunks.at(-1);
    if (this.#block === undefined || last === undefined || last.length + bytes.length > blockBytes) {
      this.#block = this.isEmpty ? undefined : new Uint8Array(blockBytes);
      if (this.#block === undefined) this.#chunks.push(bytes);
      else this.#chunks.push(fill(this.#block, 0, bytes));
      return;
    }
    this.#chunks[this.#chunks.length - 1] = fill(this.#block, last.length, bytes);
  }

  /** The next bytes, at most `limit` of them. */
  take(limit = Number.POSITIVE_INFINITY): Uint8Array | undefined {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return undefined;
    if (chunk.length > limit) {
      this.#chunks[this.#head] = chunk.subarray(limit);
      this.#block = undefined;
      return chunk.subarray(0, limit);
    }
    this.#head += 1;
    if (this.#head === this.#chunks.length) {
      const isLoose = this.#block !== undefined && chunk.length * 2 < blockBytes;
      this.clear();
      // whoever keeps a few bytes is not to keep a whole block with them
      return isLoose ? chunk.slice() : chunk;
    }
    if (this.#head >= 64 && this.#head * 2 >= this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
    return chunk;
  }

  /** All of it, in order. */
  takeAll(): Uint8Array[] {
    const chunks = this.#chunks.slice(this.#head);
    this.clear();
    return chunks;
  }

  clear(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#block = undefined;
  }

  /** Size of what `take` gives next, when it is given no limit */
  get nextLength(): number {
    return this.#chunks[this.#head]?.length ?? 0;
  }

  get isEmpty(): boolean {
    return this.#head === this.#chunks.length;
  }
}

/** Copies `bytes` behind the first `used` bytes of `block`; returns the used part. */
function fill(block: Uint8Array, used: number, bytes: Uint8Array): Uint8Array {
  block.set(bytes, used);
  return block.subarray(0, used + bytes.length);
}
