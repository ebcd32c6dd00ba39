/** The HTTP/1.1 face towards callers: Node's own parser on any byte stream. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { abortable, Notifier } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import { holdLittle } from "./body.ts";
import { FaceConnection } from "./face-connection.ts";
import type { FaceDeps, FaceOptions } from "./face-options.ts";
import { GatheredRequest } from "./gathered-request.ts";

/** Disposing it cuts every connection. */
export interface HttpFace<Context> extends AsyncDisposable {
  /** Serves HTTP/1.1 on `bytes` until either side ends it; never throws. */
  serve(bytes: Duplex, context: Context): void;
  /** Connections open now */
  readonly connections: number;
  /** Ends idle connections, and the others with their reply; resolves once none is left, rejects with the signal's reason. */
  drain(signal?: AbortSignal): Promise<void>;
}

export function createHttpFace<Context>(
  deps: FaceDeps<Context>,
  options: FaceOptions = {},
): HttpFace<Context> {
  return new Face(deps, options);
}

const defaults = {
  maxHeaderBytes: 32 * 1024,
  maxTargetBytes: 16 * 1024,
  headMs: 60_000,
  maxPipelined: 32,
  keepRequestId: false,
} as const satisfies Required<FaceOptions>;

class Face<Context> implements HttpFace<Context> {
  readonly #deps: FaceDeps<Context>;
  readonly #options: Required<FaceOptions>;
  readonly #server: Server;
  readonly #open = new Map<Duplex, FaceConnection<Context>>();
  readonly #closed = new Notifier();
  #draining = false;

  constructor(deps: FaceDeps<Context>, options: FaceOptions) {
    this.#deps = deps;
    this.#options = { ...defaults, ...options };
    this.#server = this.#createServer();
  }

  get connections(): number {
    return this.#open.size;
  }

  serve(bytes: Duplex, context: Context): void {
    if (bytes.destroyed) return;
    const connection = new FaceConnection({ ...this.#deps, context, bytes }, this.#options);
    this.#open.set(bytes, connection);
    void connection.over.then(() => {
      // who took the bytes of a CONNECT may serve them here again
      if (this.#open.get(bytes) === connection) this.#open.delete(bytes);
      this.#closed.notify();
    });
    holdLittle(bytes);
    this.#server.emit("connection", bytes);
    if (this.#draining) connection.drain();
  }

  async drain(signal?: AbortSignal): Promise<void> {
    this.#draining = true;
    for (const connection of this.#open.values()) connection.drain();
    while (this.#open.size > 0) await abortable(this.#closed.wait(), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#draining = true;
    const reason = new SallyportError("shutting_down", "the listener stops");
    for (const connection of this.#open.values()) connection.close(reason);
    while (this.#open.size > 0) await this.#closed.wait();
  }

  #createServer(): Server {
    // it never listens: connections are handed to it, and their times are kept here since its own clock starts with listening
    const server = createServer({
      IncomingMessage: GatheredRequest,
      maxHeaderSize: this.#options.maxHeaderBytes,
      requireHostHeader: false,
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: 0,
    });
    // a header beyond the count would be left out silently; their size is bounded
    server.maxHeadersCount = 0;
    // a caller that has nothing more to say still gets its reply
    Object.assign(server, { httpAllowHalfOpen: true });
    const request = (message: IncomingMessage, reply: ServerResponse): void =>
      this.#open.get(message.socket)?.request(message, reply);
    server.on("request", request);
    server.on("checkContinue", (message: IncomingMessage, reply: ServerResponse) =>
      this.#open.get(message.socket)?.request(message, reply, { expects: true }),
    );
    server.on("connect", (message: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#open.get(socket)?.connect(message, head),
    );
    server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) =>
      this.#open.get(socket)?.malformed(error),
    );
    return server;
  }
}
