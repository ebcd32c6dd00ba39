/** One JSON-RPC message in the reply to a POST, as JSON or as an event stream; the SDK would hide which layer failed. */
import { headerOf, type HttpResponse } from "../../exchange/index.ts";
import { broken } from "./walk.ts";

/** UTF-16 units of a reply; a tool list is far smaller */
const replyLimit = 4_194_304;

export interface RpcMessage {
  readonly id?: unknown;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly code?: unknown; readonly message?: unknown };
}

/** The answer to request `id`; undefined where the reply holds none. Ends the reply. Throws `upstream_failed` where it is endless. */
export async function readAnswer(response: HttpResponse, id: number): Promise<RpcMessage | undefined> {
  const isStream = headerOf(response.headers, "content-type")?.startsWith("text/event-stream") === true;
  response.body.setEncoding("utf8");
  let text = "";
  for await (const chunk of response.body) {
    text += String(chunk);
    if (text.length > replyLimit)
      throw broken("upstream", "the reply is too large to be an answer", "look at the upstream");
    const answer = isStream ? answerIn(text, id) : undefined;
    if (answer !== undefined) return answer;
  }
  return isStream ? undefined : parse(text);
}

/** Among the events that are whole. */
function answerIn(text: string, id: number): RpcMessage | undefined {
  const events = text.split(/\r?\n\r?\n/).slice(0, -1);
  return events.map((event) => parse(dataOf(event))).find((message) => message?.id === id);
}

function dataOf(event: string): string {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5)).join("\n");
}

function parse(text: string): RpcMessage | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
