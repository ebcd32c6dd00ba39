/** Health and figures of a tunnel, on a listener of their own. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { isIP } from "node:net";
import type { TunnelFigures, Tunnel } from "../tunnel/index.ts";
import { listenOn } from "./listen-on.ts";

interface StatusDeps {
  readonly tunnel: Tunnel;
  readonly figures: TunnelFigures;
}

/** Null: nothing listens. */
export async function serveTunnelStatus(
  at: { readonly host: string; readonly port: number } | null,
  deps: StatusDeps,
): Promise<AsyncDisposable> {
  const server = createServer((request, reply) => void answer(request, reply, deps));
  if (at !== null) await listenOn(server, at);
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function answer(
  request: IncomingMessage,
  reply: ServerResponse,
  { tunnel, figures }: StatusDeps,
): Promise<void> {
  if (!isDirect(request)) return send(reply, 403, { error: "origin_denied" });
  const path = (request.url ?? "").split("?", 1)[0];
  if (path === "/healthz") return send(reply, 200, { status: "ok" });
  if (path === "/readyz" || path === "/ready") return sendReadiness(reply, tunnel);
  if (path !== "/metrics") return send(reply, 404, { error: "path_unknown" });
  const { contentType, text } = await figures.render();
  reply.writeHead(200, { "content-type": contentType }).end(text);
}

/** A page in a browser comes with an origin, or by a name that was pointed here. */
function isDirect({ headers }: IncomingMessage): boolean {
  const name = (headers.host ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return headers.origin === undefined && (name === "localhost" || isIP(name) !== 0);
}

/** Ready while any route works; says of the others what fails. */
function sendReadiness(reply: ServerResponse, tunnel: Tunnel): void {
  const routes = tunnel.routes();
  const isReady = routes.some(({ state }) => state === "up");
  const shown = routes.map(({ host, state, layer, reason }) => ({ host, state, layer, reason }));
  send(reply, isReady ? 200 : 503, { status: isReady ? "ready" : "no route answers", routes: shown });
}

function send(reply: ServerResponse, status: number, body: unknown): void {
  reply.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
