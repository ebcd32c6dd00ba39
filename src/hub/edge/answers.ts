/** What the edge says itself, to callers it cannot carry anywhere. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, TLSSocket, type SecureContext } from "node:tls";
import { SallyportError } from "../../errors.ts";
import { makeEdgeCertificate } from "./certificate.ts";
import { answerFailure, sendFailure, type EdgeFailure } from "./failure.ts";

/** fatal `decode_error`, https://www.rfc-editor.org/rfc/rfc8446#section-6 */
const decodeError = Buffer.from([21, 3, 1, 0, 2, 2, 50]);
const handshakeRecord = 22;

export class EdgeAnswers implements Disposable {
  readonly #http: Server;
  /** by the TLS connection that was ended here to say so */
  readonly #failures = new WeakMap<Duplex, EdgeFailure>();
  #context: SecureContext | undefined;

  /** `connect` gets the callers that asked for a host on port 443 with `CONNECT`, head put back. */
  constructor(connect: (socket: Duplex, host: string) => Promise<void>) {
    this.#http = createServer({ maxHeaderSize: 16 * 2 ** 10, requireHostHeader: false });
    this.#http.on("request", (request, reply) => this.#answer(request, reply));
    this.#http.on("clientError", (_error, socket) =>
      answerFailure(socket, plainFailure("not well-formed HTTP")),
    );
    this.#http.on("connect", (request, socket, head) => {
      const failure = this.#failures.get(socket);
      const host = /^([^:]+):443$/.exec(request.url ?? "")?.[1];
      if (failure !== undefined) answerFailure(socket, failure);
      else if (host === undefined) answerFailure(socket, plainFailure("CONNECT needs HOST:443"));
      else {
        if (head.length > 0) socket.unshift(head);
        void connect(socket, host);
      }
    });
  }

  [Symbol.dispose](): void {
    this.#http.closeAllConnections();
  }

  /** Ends TLS under a certificate of our own, only to answer the first request with the failure. */
  tls(socket: Socket, failure: EdgeFailure): void {
    this.#context ??= createSecureContext(makeEdgeCertificate());
    const ended = new TLSSocket(socket, {
      isServer: true,
      secureContext: this.#context,
      ALPNProtocols: ["http/1.1"],
    });
    ended.on("error", () => socket.destroy());
    this.#failures.set(ended, failure);
    this.#http.emit("connection", ended);
  }

  /** Reads plain HTTP: a `CONNECT`, or a request that should have come over TLS. */
  http(socket: Socket): void {
    this.#http.emit("connection", socket);
  }

  /** What is neither TLS nor HTTP. */
  garbage(socket: Socket, reason: string): void {
    const [first] = (socket.read() as Buffer | null) ?? [];
    if (first === handshakeRecord) socket.end(decodeError);
    else answerFailure(socket, plainFailure(reason));
    socket.resume();
  }

  connect(socket: Duplex, failure: EdgeFailure): void {
    answerFailure(socket, failure);
    socket.resume();
  }

  #answer(request: IncomingMessage, reply: ServerResponse): void {
    request.resume();
    sendFailure(reply, this.#failures.get(request.socket) ?? plainFailure("plain HTTP is not carried here"));
  }
}

function plainFailure(reason: string): EdgeFailure {
  const error = new SallyportError("request_invalid", `the edge speaks TLS: ${reason}`, {
    details: { layer: "edge", fix: "call https://<route's host>, or CONNECT <route's host>:443" },
  });
  return { error, host: "", requestId: randomUUID() };
}
