/** Requests to one hub: the key, error replies and broken connections in one place. */
import type { IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { z } from "zod";
import { SallyportError } from "../errors.ts";
import { issuesToError, wireErrorSchema } from "../protocol/index.ts";
import { isSuccess, openReply, type OutgoingRequest } from "./request.ts";
import { hubUnreachable } from "./unreachable.ts";

export interface Call {
  method?: "GET" | "POST";
  /** Entries that are undefined are left out */
  query?: Record<string, string | number | undefined>;
  /** Sent as JSON */
  body?: unknown;
  headers?: Record<string, string>;
  /** Statuses outside 2xx that are answers, not errors */
  accept?: readonly number[];
  signal?: AbortSignal | undefined;
}

export interface HubAddress {
  /** `http://127.0.0.1:7070`; a path in front of `/v1` is kept */
  url: string;
  /** Text of an API key */
  key: string;
}

const errorReply = z.object({ error: wireErrorSchema });

export class HubHttp {
  readonly url: string;
  readonly #key: string;

  constructor(address: HubAddress) {
    this.url = baseUrl(address.url);
    this.#key = address.key;
  }

  /** Where `path` is, and the header that opens it. */
  target(path: string, query: Call["query"] = {}): { url: URL; headers: Record<string, string> } {
    const url = new URL(this.url + path);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return { url, headers: { authorization: `Bearer ${this.#key}` } };
  }

  /** Throws what the hub answered as an error, `hub_unreachable`, or the signal's reason. The body is to be read, or to be destroyed. */
  async send(path: string, call: Call = {}): Promise<IncomingMessage> {
    const { method = "GET", query, body, accept = [], signal } = call;
    const { url, headers } = this.target(path, query);
    const json = body === undefined ? {} : { "content-type": "application/json" };
    const reply = await this.#open({
      url,
      method,
      headers: { ...headers, ...json, ...call.headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
    const { statusCode: status = 0 } = reply;
    if (isSuccess(reply) || accept.includes(status)) return reply;
    throw errorOf(status, await this.#text(reply, signal), this.url);
  }

  /** The reply's JSON as `schema` reads it; `protocol_violation` when it is something else. */
  async json<T>(schema: z.ZodType<T>, path: string, call: Call = {}): Promise<T> {
    const reply = await this.send(path, call);
    const parsed = schema.safeParse(parseJson(await this.#text(reply, call.signal)));
    if (parsed.success) return parsed.data;
    throw issuesToError(parsed.error, "protocol_violation", `reply of ${this.url}${path}`);
  }

  /** The reply's bytes as they arrive; a connection cut in the middle throws `hub_unreachable`. */
  async *bytes(reply: IncomingMessage, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of reply) yield chunk as Buffer;
    } catch (error) {
      signal?.throwIfAborted();
      throw hubUnreachable(this.url, error);
    }
  }

  async #open(outgoing: OutgoingRequest): Promise<IncomingMessage> {
    outgoing.signal?.throwIfAborted();
    try {
      return await openReply(outgoing);
    } catch (error) {
      outgoing.signal?.throwIfAborted();
      throw hubUnreachable(this.url, error);
    }
  }

  async #text(reply: IncomingMessage, signal?: AbortSignal): Promise<string> {
    try {
      return await text(reply);
    } catch (error) {
      signal?.throwIfAborted();
      throw hubUnreachable(this.url, error);
    }
  }
}

/** The error a reply outside 2xx tells; a reply no hub would give is a hub that cannot be reached. */
export function errorOf(status: number, text: string, url: string): SallyportError {
  const parsed = errorReply.safeParse(parseJson(text));
  if (parsed.success) return SallyportError.fromWire(parsed.data.error);
  return hubUnreachable(url, new Error(`the reply is no hub's (status ${status})`));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function baseUrl(text: string): string {
  const url = URL.parse(text);
  const usable =
    url !== null && ["http:", "https:"].includes(url.protocol) && url.username === "" && url.password === "";
  if (!usable) {
    throw new SallyportError("config_invalid", `hub: ${JSON.stringify(text)} is not a hub's URL`, {
      details: { field: "hub", fix: "write it like http://127.0.0.1:7070 or https://hub.example.com" },
    });
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
