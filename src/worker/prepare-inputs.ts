/** Puts a job's files into its sandbox; what follows them in the stream is kept for its standard input. */
import type { JobSpec } from "../protocol/index.ts";
import type { Exec, GuestFiles } from "../sandbox/index.ts";
import type { Program } from "./languages.ts";
import type { StdinText } from "./stdin-text.ts";

/** Cuts a sequence of chunks into pieces of known sizes. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next `size` bytes, or fewer when the source ends. */
  async *take(size: number): AsyncGenerator<Uint8Array> {
    let left = size;
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#refill())) return;
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  /** Reads the source to its end, which is what tells its sender that all of it arrived. */
  async finish(): Promise<void> {
    while (await this.#refill());
  }

  async #refill(): Promise<boolean> {
    const next = await this.#source.next();
    this.#rest = next.done === true ? new Uint8Array(0) : next.value;
    return next.done !== true;
  }
}

/** Throws what the guest's file calls throw, naming the file, and what the stream throws. */
export async function prepareInputs(
  files: GuestFiles,
  job: { spec: JobSpec; program: Program },
  inputs: AsyncIterable<Uint8Array>,
  stdin: StdinText | undefined,
): Promise<void> {
  const reader = new ByteReader(inputs);
  const { source } = job.program;
  if (source !== null) await files.put(source.path, source.bytes);
  for (const file of job.spec.files) await files.put(file.path, reader.take(file.size));
  if (job.spec.stdin.mode === "text") await stdin?.fill(reader.take(job.spec.stdin.size));
  await reader.finish();
}

/**
 * Feeds `chunks` to the program and ends its input. A program that no longer reads, or is gone, is none of our business: rejects
 * only when `chunks` does.
 */
export async function feedStdin(exec: Exec, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of chunks) {
    try {
      await exec.stdin.write(chunk);
    } catch {
      return;
    }
  }
  exec.stdin.end();
}
