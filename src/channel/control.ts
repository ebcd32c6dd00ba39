/** Control messages as text: what is read here is an object with a `type`; the dialect says what it means. */
import { SallyportError } from "../errors.ts";
import { limits } from "../protocol/index.ts";

/** deeper than any message of the protocol, shallow enough for every recursive reader */
const maxDepth = 64;

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
  if (!nestsWithin(text, maxDepth)) throw violation(`nested deeper than ${maxDepth}`);
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

/** Counts brackets outside of strings, without recursion. */
function nestsWithin(text: string, depth: number): boolean {
  let open = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (quoted) {
      if (char === 0x5c) at += 1;
      else if (char === 0x22) quoted = false;
    } else if (char === 0x22) quoted = true;
    else if (char === 0x7b || char === 0x5b) {
      open += 1;
      if (open > depth) return false;
    } else if (char === 0x7d || char === 0x5d) open -= 1;
  }
  return true;
}

function violation(reason: string): SallyportError {
  return new SallyportError("protocol_violation", `message: ${reason}`);
}
