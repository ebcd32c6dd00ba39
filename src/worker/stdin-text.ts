import { SpoolFile, type FileRange } from "./spool-file.ts";

/** Texts below this many bytes stay in memory */
const memoryBytes = 1 * 2 ** 20;
/** bytes read back at once */
const pieceBytes = 64 * 2 ** 10;

/**
 * The text for a job's standard input, whole on this worker before the command starts: a channel that breaks later cannot cut
 * it short. Large ones wait on disk.
 */
export class StdinText implements AsyncDisposable {
  readonly #file: SpoolFile | undefined;
  readonly #pieces: (Uint8Array | FileRange)[] = [];

  constructor(options: { size: number; directory: string }) {
    if (options.size > memoryBytes) this.#file = new SpoolFile(options.directory, options.size);
  }

  /** Throws what `source` throws, or `store_unavailable`. */
  async fill(source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const bytes of source) {
      this.#pieces.push(this.#file === undefined ? bytes : await this.#file.write(bytes));
    }
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (const piece of this.#pieces) {
      if (piece instanceof Uint8Array) yield piece;
      else yield* this.#read(piece);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.[Symbol.asyncDispose]();
  }

  async *#read({ from, to }: FileRange): AsyncGenerator<Uint8Array> {
    for (let at = from; at < to && this.#file !== undefined; at += pieceBytes) {
      yield await this.#file.read({ from: at, to: Math.min(to, at + pieceBytes) });
    }
  }
}
