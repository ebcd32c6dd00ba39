/** One request to another hub, on a connection of its own. */
import { request as requestHttp, type ClientRequest, type IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { isError, SallyportError } from "../../errors.ts";
import { wireErrorSchema } from "../../protocol/index.ts";
import type { HubRecord } from "../../store/index.ts";

/** bytes of an answer: 1,000 workers and as many routes take about a tenth */
const answerBytes = 16 * 2 ** 20;

const errorSchema = z.object({ error: wireErrorSchema });

export interface Question {
  method: "GET" | "POST";
  path: string;
  json?: unknown;
  /** sent as it comes, at the pace the other side takes it */
  body?: AsyncIterable<Uint8Array>;
}

/** The JSON another hub answers with; null for none. Throws what it refused with, and `hub_unreachable` when there is no answer to read. */
export async function askHub(hub: HubRecord, question: Question, signal: AbortSignal): Promise<unknown> {
  try {
    const response = await send(hub, question, signal);
    return await read(response);
  } catch (error) {
    signal.throwIfAborted();
    if (isError(error)) throw error;
    throw unreachable(hub, error);
  }
}

export function unreachable({ hubId, url }: HubRecord, cause?: unknown): SallyportError {
  return new SallyportError("hub_unreachable", `${hubId} does not answer at ${url}`, {
    details: { hub: hubId, fix: "hubs must reach each other at the address each one advertises" },
    cause,
  });
}

async function send(hub: HubRecord, question: Question, signal: AbortSignal): Promise<IncomingMessage> {
  const { method, path, json, body } = question;
  const url = new URL(path, hub.url);
  const dial = url.protocol === "https:" ? requestHttps : requestHttp;
  const headers = {
    authorization: `Bearer ${hub.secret}`,
    ...(json !== undefined && { "content-type": "application/json" }),
    ...(body !== undefined && { "content-type": "application/octet-stream" }),
  };
  const request = dial(url, { method, headers, signal, agent: false });
  const answered = answerOf(request);
  if (body === undefined) request.end(json === undefined ? undefined : JSON.stringify(json));
  // a refusal may come before all of the body is out; that the rest was not taken is no news then
  else pipeline(body, request).catch(() => undefined);
  return await answered;
}

function answerOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.on("error", reject);
    request.once("close", () => reject(new Error("closed without an answer")));
  });
}

async function read(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > answerBytes) throw new Error("the answer is too large");
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  const json: unknown = text === "" ? null : JSON.parse(text);
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return json;
  throw SallyportError.fromWire(errorSchema.parse(json).error);
}
