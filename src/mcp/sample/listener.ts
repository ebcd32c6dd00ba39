/** A small real MCP server over Streamable HTTP with sessions, for demonstrations and tests. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import { collect } from "../../exchange/index.ts";
import { parse } from "../policy/json.ts";
import { createSample, type OpenLedger, type SampleLedger } from "./tools.ts";

export interface SampleServerOptions {
  /** Loopback by default */
  readonly host?: string;
  /** 0, the default, picks a free one */
  readonly port?: number;
}

export interface SampleServer extends AsyncDisposable {
  /** Where MCP is spoken, such as `http://127.0.0.1:4711/mcp` */
  readonly url: string;
  readonly port: number;
  readonly ledger: SampleLedger;
  /** Sessions that are open now */
  readonly sessions: number;
  /** Forgets every session, as a restart would. */
  forgetSessions(): Promise<void>;
}

const path = "/mcp";
const bodyLimit = 2 ** 20;

/** Sessions at once; the oldest is closed for one more */
const sessionLimit = 1_000;

export async function listenSample(options: SampleServerOptions = {}): Promise<SampleServer> {
  const { host = "127.0.0.1", port = 0 } = options;
  const ledger: OpenLedger = { counted: [], searches: 0, deletions: 0 };
  const sessions = new Sessions(ledger);
  const listener = createServer((request, response) => {
    sessions.handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject).listen(port, host, resolve);
  });
  const bound = (listener.address() as AddressInfo).port;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}${path}`,
    port: bound,
    ledger,
    get sessions() {
      return sessions.size;
    },
    forgetSessions: () => sessions.close(),
    async [Symbol.asyncDispose]() {
      await sessions.close();
      await closed(listener);
    },
  };
}

async function closed(listener: Server): Promise<void> {
  const over = new Promise<void>((resolve) => listener.close(() => resolve()));
  listener.closeAllConnections();
  await over;
}

class Sessions {
  readonly #ledger: OpenLedger;
  readonly #open = new Map<string, StreamableHTTPServerTransport>();

  constructor(ledger: OpenLedger) {
    this.#ledger = ledger;
  }

  get size(): number {
    return this.#open.size;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (new URL(request.url ?? "/", "http://sample").pathname !== path)
      return refuse(response, 404, "no such path");
    const id = request.headers["mcp-session-id"];
    const known = typeof id === "string" ? this.#open.get(id) : undefined;
    if (id !== undefined && known === undefined) return refuse(response, 404, "no such session");
    if (request.method !== "POST") {
      if (known === undefined) return refuse(response, 400, "a session is needed");
      return await known.handleRequest(request, response);
    }
    const { bytes, whole } = await collect(request, bodyLimit);
    if (!whole) return refuse(response, 413, "the body is too large");
    const body = parse(bytes.toString("utf8"));
    if (known === undefined && !isInitializeRequest(body))
      return refuse(response, 400, "a session is needed");
    await (known ?? (await this.#begin())).handleRequest(request, response, body);
  }

  async close(): Promise<void> {
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(open.map((transport) => transport.close()));
  }

  async #begin(): Promise<StreamableHTTPServerTransport> {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void this.#open.set(id, transport),
      onsessionclosed: (id) => void this.#open.delete(id),
    });
    const [oldest] = this.#open;
    if (oldest !== undefined && this.#open.size >= sessionLimit) {
      this.#open.delete(oldest[0]);
      await oldest[1].close();
    }
    await createSample(this.#ledger).connect(transport);
    return transport;
  }
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { "content-type": "application/json", connection: "close" });
  response.end(JSON.stringify({ jsonrpc: "2.0", id: null, error: { code: -32000, message } }));
}
