/** The last layers: does the upstream answer, does it let us in, and which tools does it list? */
import { randomUUID } from "node:crypto";
import {
  bytesBody,
  headerOf,
  unlessFailure,
  type Forward,
  type HeaderList,
  type HttpResponse,
} from "../../exchange/index.ts";
import { readAnswer, type RpcMessage } from "./messages.ts";
import { broken, type Walk } from "./walk.ts";

export interface McpTarget {
  /** Canonical */
  readonly host: string;
  /** Path and query */
  readonly target: string;
}

interface Reply {
  readonly status: number;
  readonly headers: HeaderList;
  readonly answer: RpcMessage | undefined;
}

/** The newest revision with sessions; a server that knows none of them is asked in the manner of 2026-07-28. */
const sessionRevision = "2025-11-25";
const statelessRevision = "2026-07-28";

/** Walks `upstream`, `auth` and `tools_list` by a real `tools/list`. */
export async function askTools(
  walk: Walk,
  { host, target }: McpTarget,
  forward: Forward,
  signal: AbortSignal,
): Promise<void> {
  const post: Post = async (message, headers = []) => {
    const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
    const all: HeaderList = [
      ["content-type", "application/json"],
      ["content-length", String(body.length)],
      ["accept", "application/json, text/event-stream"],
      ...headers,
    ];
    const request = { id: randomUUID(), method: "POST", host, target, headers: all, body: bytesBody(body) };
    const response = await forward(request, signal);
    if ("id" in message) return await readReply(response, Number(message.id));
    // What comes back for a notification, if anything, is of no use.
    response.body.on("error", () => undefined).resume();
    return { ...response, answer: undefined };
  };
  const first = await walk.pass("upstream", async () => {
    const value = await post(initialize());
    refuseStatus(value);
    return { detail: `HTTP ${value.status}`, value };
  });
  if (first === undefined) return;
  const admitted = await walk.pass("auth", async () => {
    refuseStranger(first);
    return { detail: "let in", value: true };
  });
  if (admitted === undefined) return;
  await walk.pass("tools_list", async () => {
    const reply =
      first.answer?.result === undefined ? await listStateless(post) : await listInSession(post, first);
    refuseStranger(reply);
    return { detail: toolsIn(reply), value: true };
  });
  const session = headerOf(first.headers, "mcp-session-id");
  if (session === undefined) return;
  const headers: HeaderList = [["mcp-session-id", session]];
  const left = forward({ id: randomUUID(), method: "DELETE", host, target, headers, body: null }, signal);
  // An upstream may refuse to end a session; it ends it by itself some time then.
  await left.then(({ body }) => body.on("error", () => undefined).resume()).catch(() => undefined);
}

type Post = (message: object, headers?: HeaderList) => Promise<Reply>;

async function listInSession(post: Post, first: Reply): Promise<Reply> {
  const session = headerOf(first.headers, "mcp-session-id");
  const agreed = first.answer?.result?.["protocolVersion"];
  const headers: HeaderList = [
    ["mcp-protocol-version", typeof agreed === "string" ? agreed : sessionRevision],
    ...(session === undefined ? [] : ([["mcp-session-id", session]] as const)),
  ];
  await post({ method: "notifications/initialized" }, headers);
  return await post({ id: 2, method: "tools/list", params: {} }, headers);
}

function listStateless(post: Post): Promise<Reply> {
  const prefix = "io.modelcontextprotocol/";
  const meta = {
    [`${prefix}protocolVersion`]: statelessRevision,
    [`${prefix}clientInfo`]: client,
    [`${prefix}clientCapabilities`]: {},
  };
  return post({ id: 2, method: "tools/list", params: { _meta: meta } }, [
    ["mcp-protocol-version", statelessRevision],
    ["mcp-method", "tools/list"],
  ]);
}

const client = { name: "sallyport-doctor", version: "1" };

const initialize = (): object => ({
  id: 1,
  method: "initialize",
  params: { protocolVersion: sessionRevision, capabilities: {}, clientInfo: client },
});

async function readReply(response: HttpResponse, id: number): Promise<Reply> {
  const { status, headers } = await unlessFailure(response);
  return { status, headers, answer: await readAnswer(response, id) };
}

function refuseStatus({ status }: Reply): void {
  const told = (status >= 200 && status < 300) || [400, 401, 403].includes(status);
  if (told) return;
  const fix =
    status === 404 || status === 405
      ? "correct the path of the URL: it is the upstream's own, such as /mcp"
      : "look at the upstream's log";
  throw broken("upstream", `the upstream answered HTTP ${status}`, fix);
}

function refuseStranger({ status, headers }: Reply): void {
  if (status !== 401 && status !== 403) return;
  const challenge = headerOf(headers, "www-authenticate");
  throw broken(
    "auth",
    `the upstream answered HTTP ${status}${challenge === undefined ? "" : `: ${challenge}`}`,
    "give the route a credential under sallyport.routes, or correct the one it has",
  );
}

function toolsIn({ status, answer }: Reply): string {
  const tools = answer?.result?.["tools"];
  if (!Array.isArray(tools)) {
    const reason = answer?.error?.message;
    throw broken(
      "tools_list",
      `tools/list: ${typeof reason === "string" ? reason : `HTTP ${status} without a list of tools`}`,
      "check that this path speaks MCP over Streamable HTTP",
    );
  }
  const names = tools.map((tool: { name?: unknown } | null) => String(tool?.name));
  const shown = [...names.slice(0, 20), ...(names.length > 20 ? ["…"] : [])].join(", ");
  return shown === "" ? "no tools" : `${names.length} tools: ${shown}`;
}
