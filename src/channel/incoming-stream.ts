import { SallyportError } from "../errors.ts";
import { limits, type Frame } from "../protocol/index.ts";
import { ChunkReader } from "./chunk-reader.ts";
import type { IncomingStream } from "./contract.ts";
import { ReceiveWindow } from "./credit.ts";

/** What a stream asks of its channel. */
export interface IncomingPort {
  control(frame: Frame): void;
  /** No more frame will be sent; `answered` when nothing more can come either. */
  over(id: number, answered: boolean): void;
}

/** Holds at most one window of bytes until its reader takes and grants them. */
export class Incoming<Accept> implements IncomingStream<Accept> {
  readonly id: number;
  readonly meta: Accept;
  readonly chunks = new ChunkReader();
  readonly #port: IncomingPort;
  readonly #window = new ReceiveWindow(limits.streamWindow);
  #ended = false;
  #over = false;

  constructor(port: IncomingPort, id: number, meta: Accept) {
    this.#port = port;
    this.id = id;
    this.meta = meta;
  }

  get broken(): boolean {
    return this.chunks.failed;
  }

  grant(bytes: number): void {
    if (this.#over || bytes === 0) return;
    this.#window.grant(bytes);
    this.#port.control({ type: "credit", stream: this.id, bytes });
  }

  finish(): void {
    if (this.#over) return;
    if (!this.#ended) {
      throw new SallyportError("internal", `stream ${this.id} cannot be finished before its end`);
    }
    this.#over = true;
    this.#port.control({ type: "done", stream: this.id });
    this.#port.over(this.id, true);
  }

  reset(reason: SallyportError): void {
    if (this.#over) return;
    this.#drop(
      new SallyportError("stream_reset", `stream ${this.id} was given up here: ${reason.message}`, {
        cause: reason,
      }),
    );
    this.#port.control({ type: "reset", stream: this.id, error: reason });
    this.#port.over(this.id, false);
  }

  /** Throws `protocol_violation` when the far end may not send this now. */
  received(bytes: Uint8Array): void {
    if (this.#ended) throw afterEnd(this.id);
    this.#window.receive(bytes.length);
    this.chunks.push(bytes);
  }

  /** The far end sent its last byte. */
  endReceived(): void {
    if (this.#ended) throw afterEnd(this.id);
    this.#ended = true;
    this.chunks.end();
  }

  /** Nothing more will come. A reader of a stream that had ended still gets all of it. */
  fail(reason: SallyportError): void {
    if (this.#ended) this.#over = true;
    else this.#drop(reason);
  }

  #drop(reason: SallyportError): void {
    this.#over = true;
    this.chunks.fail(reason);
  }
}

function afterEnd(id: number): SallyportError {
  return new SallyportError("protocol_violation", `frame: stream ${id} had ended`);
}
