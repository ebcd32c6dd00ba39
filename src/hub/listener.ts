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
import { GatheredRequest } from "../exchange/index.ts";

type RequestHandler = (request: IncomingMessage, reply: ServerResponse) => void;

/** requests that wait on one connection while another is answered */
const maxPipelined = 32;

export interface ListenerOptions {
  tls: { cert: string; key: string } | undefined;
  /** for the head of a request, from the connection on; a minute by default */
  headMs?: number;
}

export class Listener {
  readonly server: Server;
  readonly #replies = new Set<ServerResponse>();
  /** what waits behind the reply under way on each connection */
  readonly #pipelined = new WeakMap<Socket, (() => void)[]>();
  readonly #replied = new Notifier();

  /** Requests go to `handler`; nothing listens yet. */
  constructor(handler: RequestHandler, { tls, headMs = 60_000 }: ListenerOptions) {
    const options = {
      IncomingMessage: GatheredRequest,
      // a missing Host is refused with our own reply, and a program may take its time to read its stdin
      requireHostHeader: false,
      requestTimeout: 0,
      // which would let a head take its time as well, before anybody asks for a key
      headersTimeout: headMs,
      connectionsCheckingInterval: headMs / 2,
      // some clients offer HTTP/2 with every request; who does not take an offer answers as if it had not been made
      shouldUpgradeCallback: ({ headers }: IncomingMessage) => /^websocket$/i.test(headers.upgrade ?? ""),
    };
    const take: RequestHandler = (request, reply) =>
      this.#inTurn(request.socket, reply, () => handler(request, reply));
    this.server =
      tls === undefined ? createHttpServer(options, take) : createHttpsServer({ ...options, ...tls }, take);
    this.server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => refuse(socket, error));
  }

  /** Resolves once no request is being answered; rejects with the signal's reason. */
  async idle(signal: AbortSignal): Promise<void> {
    while (this.#replies.size > 0) await abortable(this.#replied.wait(), signal);
  }

  /** One request of a connection after the other: what is answered costs far more than the request. Too many that wait cut it. */
  #inTurn(socket: Socket, reply: ServerResponse, answer: () => void): void {
    const begin = (): void => {
      this.#count(reply, () => this.#next(socket));
      answer();
    };
    const waiting = this.#pipelined.get(socket);
    if (waiting === undefined) {
      this.#pipelined.set(socket, []);
      begin();
    } else if (waiting.length < maxPipelined) waiting.push(begin);
    else socket.destroy();
  }

  #next(socket: Socket): void {
    const begin = socket.destroyed ? undefined : this.#pipelined.get(socket)?.shift();
    if (begin === undefined) this.#pipelined.delete(socket);
    else begin();
  }

  #count(reply: ServerResponse, closed: () => void): void {
    this.#replies.add(reply);
    reply.once("close", () => {
      this.#replies.delete(reply);
      closed();
      this.#replied.notify();
    });
  }
}

/** What is not HTTP at all; who was too slow to ask waits for no answer. */
function refuse(socket: Socket, { code }: NodeJS.ErrnoException): void {
  if (!socket.writable || code === "ERR_HTTP_REQUEST_TIMEOUT") {
    socket.destroy();
    return;
  }
  const error = new SallyportError("request_invalid", "request: not well-formed HTTP");
  const body = JSON.stringify({ error: error.toWire() });
  socket.end(
    `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
}
