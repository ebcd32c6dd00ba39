import { Duplex } from "node:stream";
import type { SallyportError } from "../../errors.ts";
import type { GuestSocket } from "../contract.ts";
import {
  frameCostBytes,
  guestFrames,
  hostFrames,
  maxPayloadBytes,
  streamWindowBytes,
  violation,
  type Frame,
} from "./codec.ts";
import type { Call, GuestConnection } from "./connection.ts";
import { resetError } from "./errno.ts";
import { credit } from "./messages.ts";

type Done = (error?: Error | null) => void;

/** How the host parts with a stream: what it sent still arrives, or the program sees a reset */
const parting = { finish: 0, reset: 1 };

interface Writing {
  bytes: Buffer;
  at: number;
  done: Done;
}

export interface SocketOptions {
  connection: GuestConnection;
  id: number;
  port: number;
  /** Both sides are done with the stream */
  gone: () => void;
}

/**
 * One stream of the guest as a Node stream. Each side says its last word once, the guest `closed`, the host `close`; until
 * both are said the stream keeps its place, so a program that opens and resets connections waits for the host to follow.
 */
export class LoopbackSocket extends Duplex implements GuestSocket, Call {
  readonly port: number;
  readonly #options: SocketOptions;
  /** What the guest may still send, and what it has not been given back yet */
  #credit = streamWindowBytes;
  #owed = 0;
  /** What may still be sent to the guest */
  #room = streamWindowBytes;
  #writing: Writing | undefined;
  #waiting = false;
  #hostEnded = false;
  #programEnded = false;
  #parted = false;
  #closed = false;

  constructor(options: SocketOptions) {
    // Credit is what bounds bytes here, and it counts frames too: it goes back only when nothing waits to be read.
    super({ allowHalfOpen: true, readableHighWaterMark: 1 });
    this.#options = options;
    this.port = options.port;
    // What a program does to its connection may come before, or after, anybody here listens.
    this.on("error", () => undefined);
  }

  receive({ type, payload }: Frame): "open" | "over" {
    if (type === guestFrames.data) this.#take(payload);
    else if (type === guestFrames.credit) this.#grant(payload.readUInt32BE(0));
    else if (type === guestFrames.end) this.#endProgram();
    else if (type === guestFrames.closed) return this.#close(payload.readUInt32BE(0));
    else throw violation(`frame of type ${type} for a stream`);
    return "open";
  }

  fail(error: SallyportError): void {
    this.#closed = true;
    this.destroy(error);
  }

  override _read(): void {
    this.#giveBack();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#writing = { bytes, at: 0, done };
    this.#pump();
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    const bytes = Buffer.concat(chunks.map(({ chunk }) => chunk));
    this.#writing = { bytes, at: 0, done };
    this.#pump();
  }

  override _final(done: Done): void {
    this.#hostEnded = true;
    this.#send(hostFrames.end);
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    const how = error === null && this.#hostEnded ? parting.finish : parting.reset;
    this.#send(hostFrames.close, Buffer.of(how));
    this.#parted = true;
    this.#writing = undefined;
    if (this.#closed) this.#options.gone();
    done(error);
  }

  #take(bytes: Buffer): void {
    if (this.#programEnded) throw violation("bytes of a stream after its end");
    const cost = bytes.length + frameCostBytes;
    this.#credit -= cost;
    if (this.#credit < 0) throw violation("more of a stream than it had credit for");
    if (this.destroyed) return;
    this.#owed += cost;
    // A small view would keep the whole chunk it was read in alive while it waits.
    if (this.push(bytes.length * 2 < bytes.buffer.byteLength ? Buffer.from(bytes) : bytes)) this.#giveBack();
  }

  #giveBack(): void {
    if (this.#owed < streamWindowBytes / 4 || this.#programEnded) return;
    this.#credit += this.#owed;
    this.#send(hostFrames.credit, credit(this.#owed));
    this.#owed = 0;
  }

  #endProgram(): void {
    if (this.#programEnded) throw violation("a second end of a stream");
    this.#programEnded = true;
    if (!this.destroyed) this.push(null);
  }

  #close(errno: number): "over" {
    const ended = this.#hostEnded && this.#programEnded;
    if (errno === 0 && !ended && !this.#parted) throw violation("a stream closed before its ends");
    this.#closed = true;
    if (this.#parted) this.#options.gone();
    else if (errno !== 0) this.destroy(resetError(this.port, errno));
    return "over";
  }

  #grant(bytes: number): void {
    this.#room += bytes;
    if (this.#room > streamWindowBytes) throw violation("more credit than a stream was sent bytes");
    this.#pump();
  }

  /** Sends what the guest and the link have room for. */
  #pump(): void {
    const { connection, id } = this.#options;
    for (let writing = this.#writing; writing !== undefined; writing = this.#writing) {
      if (connection.full) return this.#pumpLater();
      const { bytes, at, done } = writing;
      const length = Math.min(this.#room, maxPayloadBytes, bytes.length - at);
      if (length > 0) connection.send(hostFrames.data, id, bytes.subarray(at, at + length));
      else if (at < bytes.length) return;
      this.#room -= length;
      writing.at += length;
      if (writing.at < bytes.length) continue;
      this.#writing = undefined;
      done();
    }
  }

  #pumpLater(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    void this.#options.connection.writable().then(() => {
      this.#waiting = false;
      this.#pump();
    });
  }

  #send(type: number, payload?: Uint8Array): void {
    if (!this.#parted) this.#options.connection.send(type, this.#options.id, payload);
  }
}
