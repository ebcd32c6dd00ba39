import type { Writable } from "node:stream";

/** One of our standard streams, written at the pace its reader reads. */
export class Output {
  readonly #stream: Writable;
  #midLine = false;

  constructor(stream: Writable) {
    this.#stream = stream;
    // Each write tells its own failure; the stream's event says the same once more.
    stream.on("error", () => undefined);
  }

  /** Columns of the terminal it goes to; undefined when it goes elsewhere */
  get columns(): number | undefined {
    return "columns" in this.#stream ? Number(this.#stream.columns) : undefined;
  }

  /** Resolves once the bytes are out; rejects with `EPIPE` when nobody reads any more. */
  async write(chunk: Uint8Array | string): Promise<void> {
    if (chunk.length === 0) return;
    this.#midLine = typeof chunk === "string" ? !chunk.endsWith("\n") : chunk.at(-1) !== 0x0a;
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** `text` on a line of its own. */
  async line(text: string): Promise<void> {
    await this.write(`${this.#midLine ? "\n" : ""}${text}\n`);
  }

  async json(value: unknown): Promise<void> {
    await this.line(JSON.stringify(value));
  }
}

export function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}
