/** Control messages as text: what is read here is an object with a `type`; the dialect says what it means. */
import { SallyportError } from "../errors.ts";
import { limits, nestsTooDeep } from "../protocol/index.ts";

export interface ControlObject {
  type: string;
}

export interface StreamOpen extends ControlObject {
  stream: number;
  meta: unknown;
}

/** Throws `frame_too_large` for what the far end would refuse. */
export function encodeControl(message: unknown): string {
  const text = JSON.stringify(message);
  if (text.length * 3 > limits.messageBytes && Buffer.byteLength(text) > limits.messageBytes) {
    throw new SallyportError("frame_too_large", `message: ${Buffer.byteLength(text)} bytes`, {
      details: { limit: limits.messageBytes },
    });
  }
  return text;
}

export function encodeStreamOpen(stream: number, meta: unknown): string {
  return encodeControl({ type: "stream.open", stream, meta });
}

/** Throws `protocol_violation`. */
export function decodeControl(text: string): ControlObject {
  if (nestsTooDeep(text)) throw violation(`nested deeper than ${limits.jsonDepth}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new SallyportError("protocol_violation", "message: is not JSON", { cause });
  }
  if (typeof json !== "object" || json === null || !("type" in json) || typeof json.type !== "string") {
    throw violation("is not an object with a `type`");
  }
  return json as ControlObject;
}

/** Throws `protocol_violation` unless a `stream.open` names its stream. */
export function asStreamOpen(control: ControlObject): StreamOpen {
  if (!("stream" in control) || !Number.isSafeInteger(control.stream)) {
    throw new SallyportError("protocol_violation", "stream.open: stream: must be a number");
  }
  return {
    type: control.type,
    stream: control.stream as number,
    meta: "meta" in control ? control.meta : null,
  };
}

function violation(reason: string): SallyportError {
  return new SallyportError("protocol_violation", `message: ${reason}`);
}
