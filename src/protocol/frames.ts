/**
 * Binary frames of the channel: `type u8 · stream u32 BE · payload`, one frame per WebSocket message. Pure; what a frame
 * means for a stream is the channel's business.
 */
import { SallyportError, type WireError } from "../errors.ts";
import { issuesToError } from "./issues.ts";
import { wireErrorSchema } from "./job.ts";
import { limits } from "./limits.ts";
import { nestsTooDeep } from "./nesting.ts";

export const frameTypes = { data: 1, end: 2, credit: 3, reset: 4, done: 5 } as const;
export const frameHeaderBytes = 5;
/** the highest id a stream can have */
export const maxStreamId = 0xffff_ffff;

export type Frame =
  | { type: "data"; stream: number; payload: Uint8Array }
  | { type: "end"; stream: number }
  /** `bytes` more are done with; the sender may send as many again */
  | { type: "credit"; stream: number; bytes: number }
  | { type: "reset"; stream: number; error: SallyportError }
  /** the receiver has all of it and it is safe */
  | { type: "done"; stream: number };

const text = new TextEncoder();
const strictText = new TextDecoder("utf-8", { fatal: true });

export function encodeFrame(frame: Frame): Uint8Array {
  switch (frame.type) {
    case "data":
      return encodeData(frame.stream, [frame.payload], frame.payload.length);
    case "credit": {
      const bytes = withHeader(frameTypes.credit, frame.stream, 4);
      bytes.writeUInt32BE(frame.bytes, frameHeaderBytes);
      return bytes;
    }
    case "reset": {
      const payload = encodeError(frame.error.toWire());
      const bytes = withHeader(frameTypes.reset, frame.stream, payload.length);
      bytes.set(payload, frameHeaderBytes);
      return bytes;
    }
    case "end":
    case "done":
      return withHeader(frameTypes[frame.type], frame.stream, 0);
  }
}

/** One data frame out of `parts`, `size` bytes together: the only copy made on the way to the network. */
export function encodeData(stream: number, parts: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = withHeader(frameTypes.data, stream, size);
  let at = frameHeaderBytes;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Reads one frame; a data payload is a view into `bytes`. Throws `protocol_violation` or `frame_too_large`. */
export function decodeFrame(bytes: Uint8Array): Frame {
  if (bytes.length < frameHeaderBytes) {
    throw violation(`${bytes.length} bytes are too few for its header of ${frameHeaderBytes}`);
  }
  const payload = bytes.subarray(frameHeaderBytes);
  if (payload.length > limits.frameBytes) {
    throw new SallyportError("frame_too_large", `frame: ${payload.length} bytes of payload`, {
      details: { limit: limits.frameBytes },
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stream = view.getUint32(1);
  if (stream === 0) throw violation("stream 0 does not exist");
  const type = view.getUint8(0);
  switch (type) {
    case frameTypes.data:
      if (payload.length === 0) throw violation("data without a byte");
      return { type: "data", stream, payload };
    case frameTypes.end:
      return { type: "end", stream: withoutPayload(stream, payload) };
    case frameTypes.credit:
      return { type: "credit", stream, bytes: creditOf(payload, view) };
    case frameTypes.reset:
      return { type: "reset", stream, error: decodeError(payload) };
    case frameTypes.done:
      return { type: "done", stream: withoutPayload(stream, payload) };
    default:
      throw violation(`unknown type ${type}`);
  }
}

function violation(reason: string): SallyportError {
  return new SallyportError("protocol_violation", `frame: ${reason}`);
}

function withHeader(type: number, stream: number, payloadBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + payloadBytes);
  bytes[0] = type;
  bytes.writeUInt32BE(stream, 1);
  return bytes;
}

function withoutPayload(stream: number, payload: Uint8Array): number {
  if (payload.length !== 0) throw violation(`${payload.length} bytes of payload where none belong`);
  return stream;
}

function creditOf(payload: Uint8Array, view: DataView): number {
  if (payload.length !== 4) throw violation(`a credit of ${payload.length} bytes instead of 4`);
  const bytes = view.getUint32(frameHeaderBytes);
  if (bytes === 0) throw violation("a credit of nothing");
  return bytes;
}

/** Details that do not fit the frame, or nest too deep, are left out; the code and the message always arrive. */
function encodeError(error: WireError): Uint8Array {
  const short = { code: error.code, message: error.message.slice(0, 4_096) };
  const json = JSON.stringify({ ...short, details: error.details });
  const whole = text.encode(json);
  const fits = whole.length <= limits.frameBytes && !nestsTooDeep(json);
  return fits ? whole : text.encode(JSON.stringify(short));
}

function decodeError(payload: Uint8Array): SallyportError {
  const json = decodeText(payload);
  if (nestsTooDeep(json)) throw violation(`a reset nested deeper than ${limits.jsonDepth}`);
  const parsed = wireErrorSchema.safeParse(parseJson(json));
  if (!parsed.success) throw issuesToError(parsed.error, "protocol_violation", "reset");
  return SallyportError.fromWire(parsed.data);
}

function decodeText(payload: Uint8Array): string {
  try {
    return strictText.decode(payload);
  } catch (cause) {
    throw notJson(cause);
  }
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw notJson(cause);
  }
}

function notJson(cause: unknown): SallyportError {
  return new SallyportError("protocol_violation", "reset: is not JSON in UTF-8", { cause });
}
