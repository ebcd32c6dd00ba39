/** One request on one connection, and the reply to it. */
import { request as httpRequest, type Agent, type ClientRequest, type IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { deferred } from "../async/index.ts";
import { SallyportError, type ErrorCode } from "../errors.ts";
import { arrivedBody, pump, takeWhole } from "./body.ts";
import type { Lease } from "./connections.ts";
import type { HttpRequest, HttpResponse, Layer } from "./contract.ts";
import { endToEnd, headerOf, pairsOf, withoutHeaders } from "./headers.ts";

export interface ClientLimits {
  /** From the last byte of the request that was taken to the head of the reply, `ms` */
  readonly responseHeaderMs: number;
  /** Status line and headers of a reply */
  readonly maxHeaderBytes: number;
  /** What failed when a connection that was made does not hold */
  readonly layer: Layer;
}

export interface ClientExchangeDeps {
  readonly agent: Agent;
  readonly lease: Lease;
  readonly signal: AbortSignal;
  readonly limits: ClientLimits;
}

const changedProtocol = "it changed the protocol, which nobody asked for";

export class ClientExchange {
  readonly #deps: ClientExchangeDeps;
  readonly #response = deferred<IncomingMessage>();
  readonly #outgoing: ClientRequest;
  readonly #clock: NodeJS.Timeout;
  #incoming: IncomingMessage | undefined;

  constructor(request: HttpRequest, deps: ClientExchangeDeps) {
    this.#deps = deps;
    this.#outgoing = this.#begin(request);
    this.#clock = setTimeout(() => this.#late(), deps.limits.responseHeaderMs);
    this.#listen();
    this.#send(request.body);
    if (deps.signal.aborted) this.#abort();
    else deps.signal.addEventListener("abort", this.#abort, { once: true });
  }

  /** Rejects with a `SallyportError` that says what was sent, or with the signal's reason. */
  async response(): Promise<HttpResponse> {
    const incoming = await this.#response.promise;
    return {
      status: incoming.statusCode ?? 502,
      headers: endToEnd(pairsOf(incoming.rawHeaders)),
      body: arrivedBody(incoming),
    };
  }

  /** Throws `request_invalid` for headers no request may have; nothing was sent then. */
  #begin(request: HttpRequest): ClientRequest {
    const { agent, lease, limits } = this.#deps;
    const options = {
      agent,
      bytes: lease.bytes,
      method: request.method,
      path: request.target,
      headers: framedHeaders(request).flat(),
      maxHeaderSize: limits.maxHeaderBytes,
    };
    try {
      const outgoing = httpRequest(options);
      // a header of the reply beyond the count would be left out silently; their size is bounded
      outgoing.maxHeadersCount = 0;
      return outgoing;
    } catch (cause) {
      lease.bytes.destroy();
      const details = { layer: "name", sent: false };
      throw new SallyportError("request_invalid", "request: cannot be written", { details, cause });
    }
  }

  #listen(): void {
    this.#outgoing.on("response", (incoming) => this.#answered(incoming));
    this.#outgoing.on("upgrade", (_incoming, socket) => {
      socket.destroy();
      this.#fail("upstream_failed", changedProtocol);
    });
    this.#outgoing.on("error", (error) => this.#broke(error));
    this.#outgoing.once("close", () => {
      this.#settled();
      this.#deps.signal.removeEventListener("abort", this.#abort);
      this.#fail("upstream_failed", "the connection ended before the reply");
    });
  }

  #send(body: HttpRequest["body"]): void {
    if (body === null) {
      this.#outgoing.end();
      return;
    }
    const whole = takeWhole(body);
    if (whole === null) void this.#upload(body);
    else this.#outgoing.end(whole);
  }

  async #upload(body: Readable): Promise<void> {
    try {
      await pump(body, this.#outgoing, { onChunk: () => this.#clock.refresh() });
    } catch (cause) {
      this.#outgoing.destroy(new SallyportError("cancelled", "the request's body broke off", { cause }));
    }
  }

  #answered(incoming: IncomingMessage): void {
    const status = incoming.statusCode ?? 0;
    if (status < 200) {
      this.#fail("upstream_failed", status === 101 ? changedProtocol : `${status} is no status of a reply`);
      this.#outgoing.destroy();
      return;
    }
    this.#settled();
    this.#incoming = incoming;
    // a reply that breaks is for whoever reads it to see
    incoming.on("error", () => undefined);
    this.#response.resolve(incoming);
  }

  #settled(): void {
    clearTimeout(this.#clock);
  }

  readonly #abort = (): void => {
    const reason: unknown = this.#deps.signal.reason;
    this.#response.reject(reason);
    const error = SallyportError.from(reason, "cancelled");
    this.#incoming?.destroy(error);
    this.#outgoing.destroy(error);
  };

  #late(): void {
    this.#fail("deadline_exceeded", `no reply within ${this.#deps.limits.responseHeaderMs} ms`);
    this.#outgoing.destroy();
  }

  #broke(error: NodeJS.ErrnoException): void {
    // one that ends with its connection would look whole
    if (this.#incoming?.complete === false) this.#incoming.destroy(error);
    if (error instanceof SallyportError) {
      // what the connection itself knows of its end says nothing about the request that was on it
      const details = { layer: this.#deps.limits.layer, ...error.details, sent: true };
      this.#response.reject(new SallyportError(error.code, error.message, { details, cause: error }));
      return;
    }
    this.#fail("upstream_failed", this.#reasonOf(error), error);
  }

  #reasonOf({ code }: NodeJS.ErrnoException): string {
    if (code === "HPE_HEADER_OVERFLOW") {
      return `the head of its reply is longer than ${this.#deps.limits.maxHeaderBytes} bytes`;
    }
    const isParser = code?.startsWith("HPE_") === true;
    return isParser ? "it answered something that is not HTTP/1.1" : "the connection broke before the reply";
  }

  /** No effect once there is a reply. */
  #fail(code: ErrorCode, message: string, cause?: unknown): void {
    const { lease, limits } = this.#deps;
    if (this.#response.settled) return;
    // a connection that idled may have been closed by the other side just then; it is not known what it saw
    const stale = lease.reused && code === "upstream_failed";
    const details = { layer: limits.layer, sent: true, ...(stale && { stale }) };
    this.#response.reject(new SallyportError(code, `upstream: ${message}`, { details, cause }));
  }
}

/** `Host` and how long the body is; Node would leave a body without either framing for some methods. */
function framedHeaders(request: HttpRequest): HttpRequest["headers"] {
  const { method, host, headers, body } = request;
  const authority = host.includes(":") ? `[${host}]` : host;
  const first = ["host", authority] as const;
  const length = headerOf(headers, "content-length");
  const rest = withoutHeaders(endToEnd(headers), "content-length");
  if (body !== null) {
    return [
      first,
      ...rest,
      length === undefined ? ["transfer-encoding", "chunked"] : ["content-length", length],
    ];
  }
  const expectsLength = method === "POST" || method === "PUT" || method === "PATCH";
  return expectsLength ? [first, ...rest, ["content-length", "0"]] : [first, ...rest];
}
