import { randomUUID } from "node:crypto";
import { open, mkdir, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { SallyportError } from "../errors.ts";

/** A stretch of the file, by positions that only grow; they wrap around the file's capacity on disk. */
export interface FileRange {
  from: number;
  to: number;
}

/**
 * A ring of bytes on disk: written at one end, freed at the other. The file has no name once it is open, so nothing of it
 * outlives the process.
 */
export class SpoolFile implements AsyncDisposable {
  readonly #directory: string;
  readonly #capacity: number;
  #handle: FileHandle | undefined;
  #from = 0;
  #to = 0;

  constructor(directory: string, capacity: number) {
    this.#directory = directory;
    this.#capacity = capacity;
  }

  has(bytes: number): boolean {
    return this.#to - this.#from + bytes <= this.#capacity;
  }

  /** Throws `store_unavailable` when the disk does not take it; nothing is kept then. One call at a time. */
  async write(bytes: Uint8Array): Promise<FileRange> {
    const range = { from: this.#to, to: this.#to + bytes.length };
    try {
      const handle = await this.#open();
      for (const part of this.#parts(range)) {
        await writeAll(handle, bytes.subarray(part.at, part.at + part.length), part.offset);
      }
    } catch (error) {
      throw SallyportError.from(error, "store_unavailable");
    }
    this.#to = range.to;
    return range;
  }

  async read(range: FileRange): Promise<Uint8Array> {
    const bytes = new Uint8Array(range.to - range.from);
    const handle = await this.#open();
    for (const part of this.#parts(range)) {
      const { bytesRead } = await handle.read(bytes, part.at, part.length, part.offset);
      if (bytesRead !== part.length)
        throw new SallyportError(
          "store_unavailable",
          "the spool file is shorter than what was written to it",
        );
    }
    return bytes;
  }

  /** Everything before `to` may be overwritten. */
  free(to: number): void {
    this.#from = Math.max(this.#from, to);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #open(): Promise<FileHandle> {
    if (this.#handle !== undefined) return this.#handle;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const path = join(this.#directory, `spool-${randomUUID()}`);
    this.#handle = await open(path, "wx+", 0o600);
    await unlink(path);
    return this.#handle;
  }

  /** The one or two places on disk where `range` lies. */
  #parts(range: FileRange): { at: number; length: number; offset: number }[] {
    const length = range.to - range.from;
    const offset = range.from % this.#capacity;
    const first = Math.min(length, this.#capacity - offset);
    const head = { at: 0, length: first, offset };
    return first === length ? [head] : [head, { at: first, length: length - first, offset: 0 }];
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}
