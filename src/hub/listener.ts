/** The hub's one listener: HTTP and upgrades, with what is open on it counted. */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import { abortable, Notifier } from "../async/index.ts";
import { SallyportError } from "../errors.ts";

type RequestHandler = Parameters<typeof createHttpServer>[1];

export interface ListenerOptions {
  tls: { cert: string; key: string } | undefined;
}

export class Listener {
  readonly server: Server;
  readonly #replies = new Set<ServerResponse>();
  readonly #replied = new Notifier();

  /** Requests go to `handler`; nothing listens yet. */
  constructor(handler: RequestHandler, { tls }: ListenerOptions) {
    const options = {
      // a missing Host is refused with our own reply, and a program may take its time to read its stdin
      requireHostHeader: false,
      requestTimeout: 0,
      // some clients offer HTTP/2 with every request; who does not take an offer answers as if it had not been made
      shouldUpgradeCallback: ({ headers }: IncomingMessage) => /^websocket$/i.test(headers.upgrade ?? ""),
    };
    this.server =
      tls === undefined
        ? createHttpServer(options, handler)
        : createHttpsServer({ ...options, ...tls }, handler);
    this.server.prependListener("request", (_request, reply) => this.#count(reply));
    this.server.on("clientError", (_error, socket: Socket) => refuse(socket));
  }

  /** Resolves once no request is being answered; rejects with the signal's reason. */
  async idle(signal: AbortSignal): Promise<void> {
    while (this.#replies.size > 0) await abortable(this.#replied.wait(), signal);
  }

  #count(reply: ServerResponse): void {
    this.#replies.add(reply);
    reply.once("close", () => {
      this.#replies.delete(reply);
      this.#replied.notify();
    });
  }
}

/** What is not HTTP at all. */
function refuse(socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const error = new SallyportError("request_invalid", "request: not well-formed HTTP");
  const body = JSON.stringify({ error: error.toWire() });
  socket.end(
    `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
}
