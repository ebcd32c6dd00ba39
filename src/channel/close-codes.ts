/** An error as a WebSocket close code and reason, and back. */
import { errorCodes, SallyportError, type ErrorCode } from "../errors.ts";

/** bytes a close reason can have, https://www.rfc-editor.org/rfc/rfc6455#section-5.5 */
const maxReasonBytes = 123;

export interface Close {
  code: number;
  /** `code: message`, cut to fit */
  reason: string;
}

/** 1009 for what is too large, as WebSocket libraries send by themselves; else 4000 plus the HTTP status of the error. */
export function closeOf(error: SallyportError): Close {
  const code = error.code === "frame_too_large" ? 1009 : 4_000 + error.status;
  return { code, reason: cut(`${error.code}: ${error.message}`) };
}

export function errorOfClose(close: Close): SallyportError {
  const [name = "", ...rest] = close.reason.split(": ");
  if (close.code >= 4_000 && Object.hasOwn(errorCodes, name)) {
    return new SallyportError(name as ErrorCode, rest.join(": "), { details: { by: "the far end" } });
  }
  const details = { closeCode: close.code, closeReason: close.reason };
  switch (close.code) {
    case 1009:
      return new SallyportError("frame_too_large", "the far end got more than it takes at once", { details });
    case 1002:
    case 1003:
    case 1007:
    case 1008:
      return new SallyportError("protocol_violation", "the far end could not read what it got", { details });
    default:
      return new SallyportError("channel_closed", `the channel ended with close code ${close.code}`, {
        details,
      });
  }
}

function cut(reason: string): string {
  const bytes = Buffer.from(reason, "utf8");
  if (bytes.length <= maxReasonBytes) return bytes.toString("utf8");
  let end = maxReasonBytes;
  // a byte 10xxxxxx goes on with the character before it
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}

/** What the far end may be told of a failure here: the text of an error that is not ours stays in our log. */
export function outward(error: unknown): SallyportError {
  if (error instanceof SallyportError) return error;
  return new SallyportError("internal", "something failed on this side; its log says what", { cause: error });
}
