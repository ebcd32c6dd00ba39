/**
 * The headers that mirror a request's body since protocol revision 2026-07-28, held against the body.
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
 */
import { isUtf8 } from "node:buffer";
import type { HeaderList } from "../../exchange/index.ts";
import { valuesOf } from "./headers.ts";
import type { Message } from "./message.ts";

const mirroredSince = "2026-07-28";

/** What `Mcp-Name` repeats, by method */
const namedBy: Readonly<Record<string, "name" | "uri">> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
};

/** How headers and body disagree; null when they agree, or when an older client sent no such headers. */
export function mirrorFault(headers: HeaderList, messages: readonly Message[]): string | null {
  const [version, method, name] = ["mcp-protocol-version", "mcp-method", "mcp-name"].map((header) =>
    valuesOf(headers, header),
  ) as [string[], string[], string[]];
  const modern = /^\d{4}-\d\d-\d\d$/.test(version[0] ?? "") && (version[0] ?? "") >= mirroredSince;
  if (!modern && method.length === 0 && name.length === 0) return null;
  const [message] = messages;
  if (message === undefined || messages.length > 1) return "a batch cannot be mirrored in headers";
  return (
    versionFault(version, message) ??
    differs("Mcp-Method", method, { body: message.method, required: modern }) ??
    nameFault(name, message, modern)
  );
}

function versionFault(values: readonly string[], message: Message): string | null {
  const body = message.says.version;
  if (values.length > 1) return "MCP-Protocol-Version stands twice";
  return values[0] === undefined || body === undefined || body === values[0]
    ? null
    : "MCP-Protocol-Version is not what the body says";
}

function nameFault(values: readonly string[], message: Message, modern: boolean): string | null {
  const key = Object.hasOwn(namedBy, message.method ?? "") ? namedBy[message.method ?? ""] : undefined;
  if (key === undefined) return values.length > 1 ? "Mcp-Name stands twice" : null;
  return differs("Mcp-Name", values, { body: message.says[key], required: modern });
}

function differs(
  header: string,
  values: readonly string[],
  expected: { body: unknown; required: boolean },
): string | null {
  const [value] = values;
  if (values.length > 1) return `${header} stands twice`;
  if (value === undefined) return expected.required ? `${header} is missing` : null;
  const text = decoded(value);
  return text !== null && text === expected.body ? null : `${header} is not what the body says`;
}

/** `=?base64?…?=` stands for text that cannot be a header value; null where that is not canonical base64 of UTF-8. */
function decoded(value: string): string | null {
  const encoded = /^=\?base64\?(.*)\?=$/.exec(value)?.[1];
  if (encoded === undefined) return /^[\x20-\x7e]*$/.test(value) ? value : null;
  const bytes = Buffer.from(encoded, "base64");
  return bytes.toString("base64") === encoded && isUtf8(bytes) ? bytes.toString("utf8") : null;
}
