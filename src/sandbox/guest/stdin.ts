import { SallyportError } from "../../errors.ts";
import type { ExecStdin } from "../contract.ts";
import { violation } from "./codec.ts";
import type { GuestConnection } from "./connection.ts";
import { Upload } from "./upload.ts";

/** The host's end of a program's standard input: writes leave in order, one at a time. */
export class PipedStdin implements ExecStdin {
  readonly #upload: Upload;
  #last: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(connection: GuestConnection, id: number) {
    this.#upload = new Upload(connection, id);
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#ended) return Promise.reject(stdinClosed("it was ended before"));
    const sent = this.#last.then(() => this.#upload.send(bytes));
    this.#last = sent.catch(() => undefined);
    return sent;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    void this.#last.then(() => this.#upload.end());
  }

  grant(bytes: number): void {
    this.#upload.grant(bytes);
  }

  closeByReader(): void {
    this.stop(stdinClosed("the program no longer reads it"));
  }

  stop(error: SallyportError): void {
    this.#upload.stop(error);
  }
}

/** The standard input of a program that was given none. */
export const closedStdin = {
  write: (): Promise<void> => Promise.reject(stdinClosed("the program was started without one")),
  end: (): void => undefined,
  grant: (): void => {
    throw violation("credit for an exec without stdin");
  },
  closeByReader: (): void => undefined,
  stop: (): void => undefined,
} as const satisfies ExecStdin & Record<string, unknown>;

function stdinClosed(why: string): SallyportError {
  return new SallyportError("stdin_closed", `stdin is closed: ${why}`);
}
