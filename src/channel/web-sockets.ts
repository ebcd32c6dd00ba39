/** Byte streams inside WebSockets, as a tunnel's transport brings them to a proxy: any path, every message bytes, none of it ours. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { createWebSocketStream, WebSocketServer, type WebSocket } from "ws";
import { SallyportError } from "../errors.ts";
import { writeRefusal } from "./refusal.ts";
import { wsLimits } from "./ws-transport.ts";

export interface ByteStreamOptions {
  /** At once; 2,048 by default */
  maxStreams?: number;
  /** A caller that does not answer a ping until the next one is cut; 15 s by default, `ms` */
  pingMs?: number;
}

/** bytes; larger messages are refused with 1009 */
const maxMessage = 4 * 1024 * 1024;

/**
 * Takes over the upgrades and requests of `server`. Each WebSocket becomes a byte stream with back-pressure, which ends with it.
 * Disposing it cuts them all; the server stays with its owner.
 */
export function acceptByteStreams(
  server: Server,
  onStream: (bytes: Duplex, peer: string) => void,
  { maxStreams = 2_048, pingMs = 15_000 }: ByteStreamOptions = {},
): AsyncDisposable {
  const sockets = new WebSocketServer({ ...wsLimits, maxPayload: maxMessage, noServer: true });
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const refusal = refusalOf(request, sockets.clients.size >= maxStreams);
    socket.on("error", () => undefined);
    if (refusal !== null) return writeRefusal(socket, refusal);
    sockets.handleUpgrade(request, socket, head, (ws) => {
      keepAlive(ws, pingMs);
      onStream(bytesOf(ws), peerOf(request));
    });
  };
  server.on("upgrade", upgrade);
  server.on("request", explain);
  return {
    [Symbol.asyncDispose]: async () => {
      server.off("upgrade", upgrade);
      server.off("request", explain);
      for (const ws of sockets.clients) ws.terminate();
      await new Promise<void>((resolve) => sockets.close(() => resolve()));
    },
  };
}

function bytesOf(ws: WebSocket): Duplex {
  // frames of one byte cost far more than their bytes while they are held
  const bytes = createWebSocketStream(ws, { allowHalfOpen: false, readableHighWaterMark: 1 });
  // the stream waits for what it writes last, which never leaves when the WebSocket was cut just then
  ws.once("close", () => {
    if (bytes.readableEnded) bytes.destroy();
    else bytes.once("end", () => bytes.destroy());
  });
  ws.on("message", (_data, isBinary) => {
    if (!isBinary) ws.close(1003, "only binary messages");
  });
  return bytes;
}

function keepAlive(ws: WebSocket, pingMs: number): void {
  let isAlive = true;
  ws.on("pong", () => (isAlive = true));
  const timer = setInterval(() => {
    if (!isAlive) return ws.terminate();
    isAlive = false;
    ws.ping();
  }, pingMs);
  ws.once("close", () => clearInterval(timer));
}

const peerOf = ({ socket }: IncomingMessage): string =>
  `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;

/** A page in a browser could open a WebSocket to anything it can reach; it always tells its origin. */
function refusalOf({ headers }: IncomingMessage, isFull: boolean): SallyportError | null {
  if (headers.origin !== undefined && URL.parse(headers.origin)?.host !== headers.host) {
    return new SallyportError("origin_denied", "Origin: no page of another host comes in here");
  }
  return isFull ? new SallyportError("capacity_exhausted", "too many byte streams at once") : null;
}

function explain(_request: IncomingMessage, reply: ServerResponse): void {
  const error = new SallyportError("protocol_unsupported", "only WebSockets with TLS inside are taken here");
  reply.writeHead(error.status, { "content-type": "application/json", upgrade: "websocket" });
  reply.end(JSON.stringify({ error: error.toWire() }));
}
