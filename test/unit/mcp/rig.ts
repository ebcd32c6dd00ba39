/** A policy between a scripted caller and a fake upstream that keeps all it was sent. */
import { Readable } from "node:stream";
import { ByteRoom, type Forward, type HttpRequest, type HttpResponse } from "../../../src/exchange/index.ts";
import {
  throughToolPolicy,
  type CallEnd,
  type ListPage,
  type ToolCall,
  type ToolRule,
} from "../../../src/mcp/index.ts";

export interface Sent {
  request: HttpRequest;
  body: Buffer;
}

export interface Reply {
  status: number;
  headers: Record<string, string>;
  bytes: Buffer;
  text: string;
  /** The first message, and all of them, where it is JSON */
  json: RpcMessage;
  batch: RpcMessage[];
}

/** A message as a test expects it; one of another shape fails the test that reads it. */
export interface RpcMessage {
  id: unknown;
  result: { tools: { name: string }[]; nextCursor?: string };
  error: {
    code: number;
    message: string;
    data: { reason?: string; layer?: string; requestId?: string; retryable?: boolean; tool?: string };
  };
}

export type Script = (request: HttpRequest, body: Buffer) => HttpResponse | Promise<HttpResponse>;

export interface Rig {
  forward: Forward;
  /** What reached the upstream */
  sent: Sent[];
  ended: (CallEnd & { call: ToolCall })[];
  listed: { tools: readonly unknown[]; page: ListPage }[];
  ask(request: Partial<HttpRequest> & { bytes?: string | Uint8Array }): Promise<Reply>;
}

export const read = async (stream: Readable): Promise<Buffer> => Buffer.concat(await stream.toArray());

export const jsonAnswer = (value: unknown, status = 200): HttpResponse => ({
  status,
  headers: [["content-type", "application/json"]],
  body: Readable.from([Buffer.from(typeof value === "string" ? value : JSON.stringify(value))]),
});

export const eventsAnswer = (chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): HttpResponse => ({
  status: 200,
  headers: [["content-type", "text/event-stream"]],
  body: Readable.from(chunks, { objectMode: false }),
});

export const callText = (tool: string, id: unknown = 1, args: unknown = {}): string =>
  JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name: tool, arguments: args } });

export const listText = (id: unknown = 1): string =>
  JSON.stringify({ jsonrpc: "2.0", id, method: "tools/list" });

/** Answers every call and list as an upstream with three tools. */
export const upstream: Script = (_request, body) => {
  const message = JSON.parse(body.toString() || "null") as { id?: unknown; method?: string } | null;
  const result =
    message?.method === "tools/list"
      ? { tools: ["search", "count", "delete"].map((name) => ({ name, inputSchema: {} })) }
      : { content: [{ type: "text", text: "done" }] };
  return jsonAnswer({ jsonrpc: "2.0", id: message?.id, result });
};

export function rig(
  options: { tools?: string[] | null; script?: Script; rule?: Partial<ToolRule>; roomBytes?: number } = {},
): Rig {
  const { tools = ["search", "count"], script = upstream } = options;
  const sent: Sent[] = [];
  const ended: Rig["ended"] = [];
  const listed: Rig["listed"] = [];
  const rule: ToolRule = {
    tools: tools === null ? null : new Set(tools),
    admit: () => ({ allow: true }),
    ended: (call, end) => void ended.push({ call, ...end }),
    listed: (tools, page) => {
      listed.push({ tools, page });
      return { allow: true };
    },
    ...options.rule,
  };
  const forward = throughToolPolicy(
    rule,
    async (request) => {
      const body = request.body === null ? Buffer.alloc(0) : await read(request.body);
      sent.push({ request, body });
      return await script(request, body);
    },
    new ByteRoom(options.roomBytes ?? 2 ** 24),
  );
  return { forward, sent, ended, listed, ask: (request) => ask(forward, request) };
}

async function ask(
  forward: Forward,
  { bytes, ...request }: Partial<HttpRequest> & { bytes?: string | Uint8Array },
): Promise<Reply> {
  const response = await forward(
    {
      id: "req-1",
      method: "POST",
      host: "docs.test",
      target: "/mcp",
      headers: [["content-type", "application/json"]],
      body: bytes === undefined ? null : Readable.from([Buffer.from(bytes as string)]),
      ...request,
    },
    new AbortController().signal,
  );
  const all = await read(response.body);
  let json: unknown;
  try {
    json = JSON.parse(all.toString());
  } catch {
    json = undefined;
  }
  const headers = Object.fromEntries(response.headers);
  const batch = (Array.isArray(json) ? json : [json]) as RpcMessage[];
  const first = batch[0] as RpcMessage;
  return { status: response.status, headers, bytes: all, text: all.toString(), json: first, batch };
}
