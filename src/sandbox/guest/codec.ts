/**
 * Frames of the guest protocol: type u8 · id u32 · length u32 · payload, big endian. The table of what each one carries is
 * images/guest/PROTOCOL.md.
 */
import { SallyportError } from "../../errors.ts";

export const protocolVersion = 1;
export const headerBytes = 9;
export const maxPayloadBytes = 64 * 1024;
export const maxExecBytes = 1024 * 1024;
/** Bytes the host may have on the way to one exec or put */
export const inputWindowBytes = 256 * 1024;
/** The same for one stream, in each direction */
export const streamWindowBytes = 128 * 1024;
/** Ids from here on are given by the guest, to the connections it accepts */
export const firstGuestId = 0x8000_0000;
/** What a data frame costs of its window beyond its payload, so that tiny frames cannot pile up */
export const frameCostBytes = 256;

export const hostFrames = {
  exec: 0x01,
  data: 0x02,
  end: 0x03,
  credit: 0x04,
  signal: 0x05,
  resize: 0x06,
  killTree: 0x07,
  killAll: 0x08,
  cancel: 0x09,
  close: 0x0a,
  put: 0x10,
  get: 0x11,
  stat: 0x12,
  list: 0x13,
  mkdir: 0x14,
  remove: 0x15,
  rename: 0x16,
  listen: 0x17,
  connect: 0x18,
} as const;

export const guestFrames = {
  hello: 0x81,
  started: 0x82,
  stdout: 0x83,
  stderr: 0x84,
  eof: 0x85,
  exit: 0x86,
  credit: 0x87,
  inputClosed: 0x88,
  data: 0x89,
  done: 0x8a,
  failed: 0x8b,
  accepted: 0x8c,
  connected: 0x8d,
  end: 0x8e,
  closed: 0x8f,
} as const;

interface Bounds {
  min: number;
  max: number;
}

const exactly = (bytes: number): Bounds => ({ min: bytes, max: bytes });
const someData: Bounds = { min: 1, max: maxPayloadBytes };

/** How long the payload of each type of guest frame may be, in bytes; a type without an entry does not exist. */
const guestBounds: ReadonlyMap<number, Bounds> = new Map([
  [guestFrames.hello, exactly(6)],
  [guestFrames.started, exactly(4)],
  [guestFrames.stdout, someData],
  [guestFrames.stderr, someData],
  [guestFrames.eof, exactly(1)],
  [guestFrames.exit, exactly(18)],
  [guestFrames.credit, exactly(4)],
  [guestFrames.inputClosed, exactly(0)],
  [guestFrames.data, someData],
  [guestFrames.done, { min: 0, max: 21 }],
  [guestFrames.failed, exactly(5)],
  [guestFrames.accepted, exactly(2)],
  [guestFrames.connected, exactly(0)],
  [guestFrames.end, exactly(0)],
  [guestFrames.closed, exactly(4)],
]);

export interface Frame {
  type: number;
  id: number;
  payload: Buffer;
}

/** A breach of the protocol by the guest; ends the conversation. */
export function violation(what: string): SallyportError {
  return new SallyportError("guest_violation", `the guest broke its protocol: ${what}`);
}

export function encodeFrame(type: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(id, 1);
  frame.writeUInt32BE(payload.length, 5);
  frame.set(payload, headerBytes);
  return frame;
}

interface Header {
  type: number;
  id: number;
  length: number;
}

interface PartialFrame {
  header: Header;
  payload: Buffer;
  filled: number;
}

/**
 * Turns chunks of any size into frames, in order. A payload that lies whole in one chunk is a view of that chunk; any other
 * is put together once. Never holds more than one frame. A malformed header throws `guest_violation`, and so does
 * everything after it.
 */
export class FrameDecoder {
  readonly #onFrame: (frame: Frame) => void;
  readonly #head = Buffer.alloc(headerBytes);
  #headFilled = 0;
  #partial: PartialFrame | undefined;
  #broken: SallyportError | undefined;

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      at = this.#partial === undefined ? this.#begin(chunk, at) : this.#goOn(chunk, at, this.#partial);
    }
  }

  #begin(chunk: Buffer, from: number): number {
    if (this.#broken !== undefined) throw this.#broken;
    const taken = chunk.copy(this.#head, this.#headFilled, from, from + headerBytes - this.#headFilled);
    this.#headFilled += taken;
    const at = from + taken;
    if (this.#headFilled < headerBytes) return at;
    this.#headFilled = 0;
    const header = this.#readHeader();
    if (chunk.length - at < header.length) {
      this.#partial = { header, payload: Buffer.allocUnsafeSlow(header.length), filled: 0 };
      return at;
    }
    this.#onFrame({ type: header.type, id: header.id, payload: chunk.subarray(at, at + header.length) });
    return at + header.length;
  }

  #goOn(chunk: Buffer, from: number, partial: PartialFrame): number {
    const taken = chunk.copy(partial.payload, partial.filled, from);
    partial.filled += taken;
    if (partial.filled === partial.payload.length) {
      this.#partial = undefined;
      this.#onFrame({ type: partial.header.type, id: partial.header.id, payload: partial.payload });
    }
    return from + taken;
  }

  #readHeader(): Header {
    const type = this.#head.readUInt8(0);
    const id = this.#head.readUInt32BE(1);
    const length = this.#head.readUInt32BE(5);
    const bounds = guestBounds.get(type);
    if (bounds === undefined) this.#break(`frame type ${type} does not exist`);
    if (length < bounds.min || length > bounds.max) this.#break(`${length} bytes in a frame of type ${type}`);
    if ((id === 0) !== (type === guestFrames.hello)) this.#break(`id ${id} in a frame of type ${type}`);
    return { type, id, length };
  }

  #break(what: string): never {
    this.#broken = violation(what);
    throw this.#broken;
  }
}
