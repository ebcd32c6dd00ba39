import { deferred } from "../../async/index.ts";
import type { SallyportError } from "../../errors.ts";
import { guestFrames, hostFrames, violation, type Frame } from "./codec.ts";
import type { Call, GuestConnection } from "./connection.ts";
import { fileError } from "./errno.ts";
import { credit } from "./messages.ts";
import { Upload } from "./upload.ts";
import { ReceiveWindow, type Chunk } from "./window.ts";

/** Bytes of one get or listing that may wait in the host, in bytes */
export const downloadWindow = 512 * 1024;

export interface FileQuestion<T> {
  type: number;
  /** What errors are about */
  path: string;
  payload: Buffer;
  /** Reads the answer; throws `guest_violation`. */
  decode: (answer: Buffer) => T;
  /** Bytes go to the guest before it answers */
  sends?: boolean;
  /** Bytes come before the answer; throws `guest_violation` for those that must not. */
  accept?: (bytes: Buffer) => void;
}

/** One file call: a question, bytes one way where it has any, and an answer. */
export class FileCall<T> implements Call {
  readonly id: number;
  readonly upload: Upload;
  readonly download: ReceiveWindow<Chunk>;
  readonly #connection: GuestConnection;
  readonly #question: FileQuestion<T>;
  readonly #answer = deferred<T>();

  constructor(connection: GuestConnection, question: FileQuestion<T>) {
    this.#connection = connection;
    this.#question = question;
    this.id = connection.register(this);
    this.upload = new Upload(connection, this.id);
    this.download = new ReceiveWindow({
      window: downloadWindow,
      grant: (bytes) => connection.send(hostFrames.credit, this.id, credit(bytes)),
    });
    connection.send(question.type, this.id, question.payload);
  }

  /** What the guest answered with; rejects with the coded error of this path. */
  get answer(): Promise<T> {
    return this.#answer.promise;
  }

  /** Asks the guest to stop where it has not answered yet. */
  cancel(): void {
    if (!this.#answer.settled) this.#connection.send(hostFrames.cancel, this.id);
  }

  receive({ type, payload }: Frame): "open" | "over" {
    const { accept, sends = false, decode, path } = this.#question;
    if (type === guestFrames.data && accept !== undefined) {
      accept(payload);
      this.download.push({ bytes: payload });
      return "open";
    }
    if (type === guestFrames.credit && sends) {
      this.upload.grant(payload.readUInt32BE(0));
      return "open";
    }
    if (type === guestFrames.failed) {
      this.fail(fileError(path, payload.readUInt32BE(1)));
    } else if (type === guestFrames.done) {
      if (sends && !this.upload.ended) throw violation("a put answered before its end");
      this.#answer.resolve(decode(payload));
      this.download.end();
    } else {
      throw violation(`frame of type ${type} for a file call`);
    }
    return "over";
  }

  fail(error: SallyportError): void {
    this.#answer.reject(error);
    this.upload.stop(error);
    this.download.end(error);
  }
}
