import { abortable, Notifier } from "../../async/index.ts";
import type { OutgoingStream } from "../../channel/index.ts";
import { isError, SallyportError } from "../../errors.ts";

/** The way from clients' posts to one attempt's stdin, at the pace the program reads. */
export class StdinFeed {
  readonly #stream: OutgoingStream;
  readonly #ended: AbortSignal;
  readonly #granted = new Notifier();
  #written = 0;
  #busy = false;
  #closed = false;

  constructor(stream: OutgoingStream, ended: AbortSignal) {
    this.#stream = stream;
    this.#ended = ended;
    stream.onGrant(() => this.#granted.notify());
    stream.finished.catch(() => undefined);
  }

  /**
   * Resolves once the program's side has taken all of `body`; ends stdin behind it unless `more`. Throws `stdin_closed` when nobody
   * reads any more and `stdin_busy` while another body is on its way.
   */
  async post(body: AsyncIterable<Uint8Array>, more: boolean): Promise<void> {
    if (this.#closed) throw closed("stdin was ended by an earlier request");
    if (this.#busy) {
      throw new SallyportError("stdin_busy", "stdin: another request feeds this job", {
        details: { fix: "send one request after the other" },
      });
    }
    this.#busy = true;
    try {
      for await (const bytes of body) await this.#write(bytes);
      if (!more) this.#end();
      await abortable(this.#taken(), this.#ended);
    } catch (error) {
      throw isError(error, "stream_reset") ? closed("the program takes no more", error) : error;
    } finally {
      this.#busy = false;
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await abortable(this.#stream.write(bytes), this.#ended);
    this.#written += bytes.length;
  }

  #end(): void {
    this.#closed = true;
    this.#stream.end();
  }

  /** Resolves when everything written was granted back, or the far end said that it has it all; rejects when the stream ended before that. */
  async #taken(): Promise<void> {
    const finished = (): Promise<boolean> => this.#stream.finished.then(() => true);
    const granted = (): Promise<boolean> => this.#granted.wait().then(() => false);
    while (this.#stream.granted < this.#written) {
      if (await Promise.race([granted(), finished()])) return;
    }
  }
}

function closed(reason: string, cause?: unknown): SallyportError {
  return new SallyportError("stdin_closed", `stdin: ${reason}`, { cause });
}
