/** JSON-RPC messages of a POST, of both protocol eras: one message, or a batch as of 2025-03-26. */
import type { ToolCall } from "../contract.ts";
import { elements, isObject, members, readJson, skipSpace, type Span } from "./json.ts";

export interface Message {
  /** Null for a notification */
  readonly id: string | number | null;
  /** Null for an answer to a request of the upstream */
  readonly method: string | null;
  readonly says: Said;
  /** Set for `tools/call` */
  readonly call: ToolCall | null;
}

/**
 * What of its parameters decides something: a text, null for any other value, undefined where there is none. The rest, which may be
 * many times as large in memory as in the body, is not held until the answer comes.
 */
export interface Said {
  readonly name?: string | null | undefined;
  readonly uri?: string | null | undefined;
  readonly cursor?: string | null | undefined;
  readonly version?: string | null | undefined;
}

export type Reading =
  | { readonly ok: true; readonly batch: boolean; readonly messages: readonly Message[] }
  | { readonly ok: false; readonly reason: string };

/** Some readers of JSON match keys without regard to case, so anything that could be taken for one of these is refused. */
const messageKeys = ["jsonrpc", "id", "method", "params", "result", "error"];
const paramKeys = ["name", "arguments", "uri", "cursor", "_meta"];
const versionKey = "io.modelcontextprotocol/protocolVersion";

/** Messages of one batch; no client sends nearly as many */
const largestBatch = 1_000;

/** Reads what can be read in one way only; everything else is not `ok`. */
export function readMessages(bytes: Buffer, requestId: string): Reading {
  const json = readJson(bytes);
  if (!json.ok) return json;
  const source = { bytes, text: json.text, requestId };
  const start = skipSpace(json.text, 0);
  if (!Array.isArray(json.value)) return asReading([readMessage(source, json.value, start)], false);
  const values: readonly unknown[] = json.value;
  if (values.length === 0) return { ok: false, reason: "the batch is empty" };
  if (values.length > largestBatch)
    return { ok: false, reason: `the batch has over ${largestBatch} messages` };
  const spans = elements(json.text, start);
  return asReading(
    values.map((value, at) => readMessage(source, value, spans[at]?.from ?? 0)),
    true,
  );
}

interface Source {
  readonly bytes: Buffer;
  readonly text: string;
  readonly requestId: string;
}

function asReading(read: readonly (Message | string)[], batch: boolean): Reading {
  const messages: Message[] = [];
  const ids = new Set<string | number>();
  for (const message of read) {
    if (typeof message === "string") return { ok: false, reason: message };
    if (message.id !== null && message.method !== null) {
      if (ids.has(message.id)) return { ok: false, reason: "two requests have the same id" };
      ids.add(message.id);
    }
    messages.push(message);
  }
  return { ok: true, batch, messages };
}

/** The message, or why it is none. */
function readMessage(source: Source, value: unknown, at: number): Message | string {
  if (!isObject(value)) return "it is not a JSON-RPC message";
  if (value["jsonrpc"] !== "2.0") return "it is not JSON-RPC 2.0";
  const lookAlike = lookAlikeKey(value, messageKeys);
  if (lookAlike !== undefined) return lookAlike;
  const { id = null, method, params = {} } = value;
  if (Object.hasOwn(value, "id") && !isId(id)) return "its id is neither text nor a safe integer";
  const answers = Object.hasOwn(value, "result") || Object.hasOwn(value, "error");
  if (!Object.hasOwn(value, "method") && answers && id !== null) {
    return { id: id as string | number, method: null, says: {}, call: null };
  }
  if (typeof method !== "string" || answers) return "it is neither a request nor an answer";
  if (!isObject(params)) return "its params are not an object";
  if (method !== "tools/call" && fold(method).replace(/[^a-z/]/g, "") === "tools/call") {
    return "its method could be taken for tools/call";
  }
  const fault = lookAlikeKey(params, paramKeys);
  if (fault !== undefined) return fault;
  const message: Message = { id: id as string | number | null, method, says: saidIn(params), call: null };
  return method === "tools/call" ? asCall(message, source, at) : message;
}

function saidIn({ name, uri, cursor, _meta: meta }: Record<string, unknown>): Said {
  const version = isObject(meta) ? meta[versionKey] : undefined;
  return { name: asText(name), uri: asText(uri), cursor: asText(cursor), version: asText(version) };
}

function asText(value: unknown): string | null | undefined {
  return value === undefined || typeof value === "string" ? value : null;
}

function asCall(message: Message, source: Source, at: number): Message | string {
  const tool = message.says.name ?? "";
  if (tool === "" || !tool.isWellFormed()) return "its tool has no proper name";
  const params = members(source.text, at).get("params");
  const span = params === undefined ? undefined : members(source.text, params.from).get("arguments");
  const call: ToolCall = {
    tool,
    rpcId: message.id,
    requestId: source.requestId,
    arguments: span === undefined ? new Uint8Array() : bytesAt(source, span),
  };
  return { ...message, call };
}

/** Without a copy where every character of the text is one byte. */
function bytesAt({ bytes, text }: Source, { from, to }: Span): Uint8Array {
  return text.length === bytes.length ? bytes.subarray(from, to) : Buffer.from(text.slice(from, to));
}

function isId(id: unknown): boolean {
  return (typeof id === "string" && id.isWellFormed()) || Number.isSafeInteger(id);
}

function lookAlikeKey(value: Record<string, unknown>, decisive: readonly string[]): string | undefined {
  const found = Object.keys(value).find((key) => !decisive.includes(key) && decisive.includes(fold(key)));
  return found === undefined ? undefined : `the key ${JSON.stringify(found)} could be taken for another`;
}

function fold(text: string): string {
  return (/^[\0-\x7f]*$/.test(text) ? text : text.normalize("NFKC")).toLowerCase();
}
