import { SallyportError } from "../../errors.ts";
import {
  bytesBody,
  collect,
  type ByteRoom,
  type Forward,
  type HttpRequest,
  type HttpResponse,
} from "../../exchange/index.ts";
import type { ToolCall, ToolRule } from "../contract.ts";
import { judge, type Refusal } from "./calls.ts";
import { Exchange, type Asked } from "./exchange.ts";
import { bodyKind, isEncoded, wantsEvents, withHeaders } from "./headers.ts";
import { inTime, judgedBody } from "./judged-body.ts";
import { readMessages, type Message } from "./message.ts";
import { mirrorFault } from "./mirror.ts";
import { jsonReply, mismatchError, rpcError } from "./replies.ts";

/**
 * Holds MCP traffic to `rule`: what is sent is exactly the bytes that were judged, and is sent at most once.
 *
 * A denied call gets a JSON-RPC error with its id and reaches nobody. A batch is sent whole or not at all: one denied call refuses
 * it, with an error for every id in it. A call whose answer got lost is answered `outcome_unknown`, unless its stream of events can
 * be resumed. Under a rule with `tools` (or `strict`) everything that is not certain to be read as the upstream reads it throws
 * `mcp_invalid`; under any other rule it passes untouched. Throws `body_too_large` for a JSON body above 4 MiB, and
 * `deadline_exceeded` for one that is not whole after 60 s. Of large bodies only so many are read at once as `room` has room for.
 */
export function throughToolPolicy(rule: ToolRule, forward: Forward, room: ByteRoom): Forward {
  const strict = rule.tools !== null || rule.strict === true;
  return async (request, signal) => {
    if (request.method === "POST" && (strict || isJsonBody(request))) {
      return await post({ rule, forward, strict, room }, request, signal);
    }
    if (strict) await refuseBody(request, signal);
    if (!strict && !wantsEvents(request)) return await forward(request, signal);
    const exchange = new Exchange(rule, request, { messages: [], batch: false });
    const plain = strict ? { range: null, "if-range": null } : {};
    const asked = { ...request, headers: withHeaders(request.headers, { ...plain, ...uncompressed }) };
    return await exchange.answer(await forward(strict ? { ...asked, body: null } : asked, signal), signal);
  };
}

/** A reply must be readable. */
const uncompressed = { "accept-encoding": "identity" };

interface Policy {
  readonly rule: ToolRule;
  readonly forward: Forward;
  readonly strict: boolean;
  readonly room: ByteRoom;
}

async function post(policy: Policy, request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
  if (policy.strict && !isJsonBody(request)) {
    throw invalid("its body is not declared as plain JSON in UTF-8");
  }
  using body = await judgedBody(policy.room, request, signal);
  const { bytes } = body;
  const ready: HttpRequest = {
    ...request,
    headers: withHeaders(request.headers, { "content-length": String(bytes.length) }),
    body: bytesBody(bytes),
  };
  const reading = readMessages(bytes, request.id);
  if (!reading.ok) {
    if (policy.strict) throw invalid(reading.reason);
    return await policy.forward(ready, signal);
  }
  const fault = mirrorFault(request.headers, reading.messages);
  if (fault !== null) return jsonReply(400, mismatchError(idOf(reading), fault, request.id));
  return await send(policy, { ready, asked: reading }, signal);
}

async function send(
  { rule, forward }: Policy,
  { ready, asked }: { ready: HttpRequest; asked: Asked },
  signal: AbortSignal,
): Promise<HttpResponse> {
  const calls = asked.messages.flatMap(({ call }) => call ?? []);
  const refusal = judge(rule, calls);
  if (refusal !== null) return refuse(rule, calls, { refusal, asked, requestId: ready.id });
  const exchange = new Exchange(rule, ready, asked);
  const request = { ...ready, headers: withHeaders(ready.headers, uncompressed) };
  let response: HttpResponse;
  try {
    response = await forward(request, signal);
  } catch (error) {
    return exchange.failed(error, signal.aborted);
  }
  return await exchange.answer(response, signal);
}

/** Nothing was sent: every call of the request is told so, and every id in it gets an error. */
function refuse(
  rule: ToolRule,
  calls: readonly ToolCall[],
  { refusal, asked, requestId }: { refusal: Refusal; asked: Asked; requestId: string },
): HttpResponse {
  const { verdict, call: denied } = refusal;
  const reasonFor = (call: ToolCall | null): string =>
    call === denied ? verdict.reason : `not sent, as another call of the batch: ${verdict.reason}`;
  for (const call of calls) {
    rule.ended(call, { verdict: { ...verdict, reason: reasonFor(call) }, outcome: null, ms: 0 });
  }
  const errors = asked.messages
    .filter(({ id, method }) => id !== null && method !== null)
    .map(({ id, call }) =>
      rpcError(id, {
        code: verdict.code,
        message: reasonFor(call),
        layer: "policy",
        requestId,
        tool: denied.tool,
      }),
    );
  if (errors.length === 0) {
    throw new SallyportError(verdict.code, verdict.reason, { details: { ...atPolicy, tool: denied.tool } });
  }
  return jsonReply(200, asked.batch ? `[${errors.join(",")}]` : errors.join(""));
}

/** Under a strict rule only a POST has a body, and no method but these is known to carry nothing else. */
async function refuseBody(request: HttpRequest, signal: AbortSignal): Promise<void> {
  if (!["GET", "HEAD", "OPTIONS", "DELETE"].includes(request.method)) {
    throw invalid(`${request.method} is not a method of MCP`);
  }
  if (request.body === null) return;
  const { bytes } = await inTime(collect(request.body, 0), signal);
  if (bytes.length > 0) throw invalid(`a ${request.method} with a body is not MCP`);
}

function isJsonBody({ headers }: HttpRequest): boolean {
  return bodyKind(headers) === "json" && !isEncoded(headers);
}

const atPolicy = { layer: "policy", sent: false };

function invalid(reason: string): SallyportError {
  return new SallyportError("mcp_invalid", `the request cannot be held to the tool rule: ${reason}`, {
    details: { ...atPolicy, fix: "send one JSON-RPC 2.0 message as application/json in UTF-8" },
  });
}

function idOf({ messages }: { messages: readonly Message[] }): string | number | null {
  return messages.length === 1 ? (messages[0]?.id ?? null) : null;
}
