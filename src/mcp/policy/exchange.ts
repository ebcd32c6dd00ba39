/** One HTTP exchange with an upstream: what was asked, and what its answer means for calls, lists and the caller. */
import { SallyportError } from "../../errors.ts";
import {
  bytesBody,
  collect,
  type Collected,
  type HttpRequest,
  type HttpResponse,
  type Layer,
} from "../../exchange/index.ts";
import type { CallOutcome, ToolRule } from "../contract.ts";
import { continued } from "./body.ts";
import { OpenCalls } from "./calls.ts";
import { relayEvents } from "./event-relay.ts";
import { bodyKind, forNewBody, isEncoded, maySpeakMcp, wantsEvents } from "./headers.ts";
import { elements, isObject, parse, skipSpace, type Span } from "./json.ts";
import { edited, listEdits, listing, mayHoldTools, type Edit } from "./lists.ts";
import type { Message } from "./message.ts";
import { jsonReply, rpcError } from "./replies.ts";

/** bytes of one JSON reply or one event that are held to be read */
const answerLimit = 16 * 2 ** 20;

export interface Asked {
  readonly messages: readonly Message[];
  readonly batch: boolean;
}

export class Exchange {
  readonly #rule: ToolRule;
  readonly #request: HttpRequest;
  readonly #asked: Asked;
  readonly #calls: OpenCalls;
  /** Requests without an answer yet */
  readonly #open: Map<string | number, Message>;

  constructor(rule: ToolRule, request: HttpRequest, asked: Asked) {
    this.#rule = rule;
    this.#request = request;
    this.#asked = asked;
    this.#calls = new OpenCalls(
      rule,
      asked.messages.flatMap(({ call }) => call ?? []),
    );
    this.#open = new Map(
      asked.messages.flatMap((message) =>
        message.id === null || message.method === null ? [] : [[message.id, message] as const],
      ),
    );
  }

  /** The caller's answer where the way to the upstream failed. Throws the error where no call was at stake. */
  failed(thrown: unknown, aborted: boolean): HttpResponse {
    const error = SallyportError.from(thrown);
    const told = error.details["sent"];
    const sent = aborted || !(thrown instanceof SallyportError) ? told !== false : told === true;
    const outcome: CallOutcome = sent ? "unknown" : "failed";
    const ids = this.#calls.ids.length > 0 ? [...this.#open.keys()] : [];
    this.#calls.settleAll(outcome);
    // it is by the status 404 alone that a client knows to begin a new session
    if (aborted || ids.length === 0 || error.code === "mcp_session_unknown") throw error;
    const errors = ids.map((id) => this.#failure(id, error, sent));
    return jsonReply(200, this.#asked.batch ? `[${errors.join(",")}]` : errors.join(""));
  }

  async answer(response: HttpResponse, aborted: AbortSignal): Promise<HttpResponse> {
    const kind = bodyKind(response.headers);
    if (kind === "other" || this.#request.method === "HEAD") return this.#unread(response, aborted);
    if (isEncoded(response.headers)) return this.#unread(response, aborted);
    if (kind === "events") {
      const body = relayEvents(response.body, this, answerLimit);
      return { ...response, headers: forNewBody(response.headers, null), body };
    }
    return this.#readsJson() ? await this.#json(response, aborted) : this.#unread(response, aborted);
  }

  get filters(): boolean {
    return this.#rule.tools !== null || this.#rule.pinned === true;
  }

  /** What the caller gets for one JSON text of the upstream. Throws where a tool list cannot be told. */
  read(text: string): string {
    if (this.#open.size === 0 && !mayHoldTools(text)) return text;
    const value = parse(text);
    if (value === undefined) {
      if (this.filters && mayHoldTools(text)) throw this.#unreadable("it is not JSON");
      return text;
    }
    const from = skipSpace(text, 0);
    const messages: readonly unknown[] = Array.isArray(value) ? value : [value];
    const spans = Array.isArray(value) ? elements(text, from) : [{ from, to: text.length }];
    const edits = messages.flatMap((message, at) => this.#message(text, spans[at], message));
    return edits.length === 0 ? text : edited(text, edits);
  }

  /**
   * The stream of events is over: messages the caller gets in place of answers that did not come. Where the stream can be resumed
   * the answers may still come on the next one, and so there are none.
   */
  over(resumable: boolean): string[] {
    const ids = resumable ? [] : [...this.#open.keys()];
    const messages = ids.map((id) => this.#failure(id, streamEnded(), true));
    this.#calls.settleAll("unknown");
    this.#open.clear();
    return messages;
  }

  /** More came than is read; the rest passes as it is. */
  unseen(): void {
    this.#calls.settleAll("answered");
    this.#open.clear();
  }

  #message(text: string, span: Span | undefined, message: unknown): readonly Edit[] {
    if (!isObject(message) || span === undefined) return [];
    const id = typeof message["id"] === "string" || typeof message["id"] === "number" ? message["id"] : null;
    const asked = id === null ? undefined : this.#open.get(id);
    if (id !== null && ("result" in message || "error" in message)) {
      this.#calls.settle(id, outcomeOf(message));
      this.#open.delete(id);
    }
    if (!mayHoldTools(text)) return [];
    const found = listEdits({ text, span, message, asked }, this.#rule);
    if (!("allow" in found)) return found;
    return [{ ...span, text: this.#refusal(id, found.code, found.reason) }];
  }

  #refusal(id: string | number | null, code: SallyportError["code"], message: string): string {
    return rpcError(id, { code, message, layer: "policy", requestId: this.#request.id });
  }

  #failure(id: string | number, error: SallyportError, sent: boolean): string {
    const call = this.#open.get(id)?.call;
    const unknown = call !== null && call !== undefined && sent;
    return rpcError(id, {
      code: unknown ? "outcome_unknown" : error.code,
      message: unknown ? `the call may have been carried out: ${error.message}` : error.message,
      layer: (error.details["layer"] as Layer | undefined) ?? "upstream",
      requestId: this.#request.id,
      tool: call?.tool,
    });
  }

  #asksForLists(): boolean {
    return this.#asked.messages.some(({ method }) => listing.includes(method ?? ""));
  }

  #readsJson(): boolean {
    return this.#calls.size > 0 || this.#asksForLists() || this.filters;
  }

  /** An answer that is not ours to read, or cannot be read. */
  #unread(response: HttpResponse, aborted: AbortSignal): HttpResponse {
    const { status, body } = response;
    const later = status === 202 || status === 204;
    if (this.#hides(response) || (this.#asksForLists() && status < 400 && !later)) {
      body.destroy();
      return this.failed(this.#unreadable("it is compressed, or not JSON"), aborted.aborted);
    }
    this.#calls.settleAll(status >= 400 ? "failed" : later ? "unknown" : "answered");
    return response;
  }

  /** What clients take for MCP, as an answer or as a stream of events, and nobody can read here. */
  #hides({ status, headers }: HttpResponse): boolean {
    if (!this.filters || !(isEncoded(headers) || bodyKind(headers) === "other")) return false;
    return maySpeakMcp(headers) || (wantsEvents(this.#request) && status === 200);
  }

  async #json(response: HttpResponse, aborted: AbortSignal): Promise<HttpResponse> {
    try {
      const collected = await collect(response.body, answerLimit);
      return collected.whole ? this.#whole(response, collected.bytes) : this.#long(response, collected);
    } catch (error) {
      response.body.destroy();
      return this.failed(broken(error), aborted.aborted);
    }
  }

  #whole(response: HttpResponse, bytes: Buffer): HttpResponse {
    const text = bytes.toString("utf8");
    const read = this.read(text);
    this.#calls.settleAll(response.status >= 400 ? "failed" : "unknown");
    if (read === text) return { ...response, body: bytesBody(bytes) };
    const changed = Buffer.from(read);
    return { ...response, headers: forNewBody(response.headers, changed.length), body: bytesBody(changed) };
  }

  #long(response: HttpResponse, { bytes }: Collected): HttpResponse {
    if (this.filters || this.#asksForLists()) throw this.#unreadable("it is too long");
    this.unseen();
    return { ...response, body: continued(bytes, response.body) };
  }

  #unreadable(why: string): SallyportError {
    return new SallyportError("upstream_failed", `the upstream's answer cannot be held to the rule: ${why}`, {
      details: { layer: "tools_list", sent: true },
    });
  }
}

/** A policy nearer to the upstream may have answered for it. */
function outcomeOf(message: Record<string, unknown>): CallOutcome {
  const error = message["error"];
  const data = isObject(error) ? error["data"] : undefined;
  if (isObject(data) && data["reason"] === "outcome_unknown") return "unknown";
  if (error !== undefined) return "rpc_error";
  const result = message["result"];
  return isObject(result) && result["isError"] === true ? "tool_error" : "answered";
}

function streamEnded(): SallyportError {
  return new SallyportError("upstream_failed", "the upstream's stream ended before the answer");
}

function broken(error: unknown): SallyportError {
  const known = SallyportError.from(error, "upstream_failed");
  if (known.details["sent"] === true) return known;
  return new SallyportError("upstream_failed", "the upstream's answer broke off", {
    details: { layer: "upstream", sent: true },
    cause: error,
  });
}
