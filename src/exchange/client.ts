/** The HTTP/1.1 client towards one place: Node's own parser over connections that somebody else makes. Nothing is sent twice. */
import { randomUUID } from "node:crypto";
import { Agent, type ClientRequest } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { abortable, Notifier } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import { ClientExchange, type ClientLimits } from "./client-exchange.ts";
import { Connections } from "./connections.ts";
import { layers, type Forward, type HttpRequest, type HttpResponse, type Layer } from "./contract.ts";
import { withHeader } from "./headers.ts";

/** Limits that are left out are 60 s, 64 KiB and `upstream`. */
export interface HttpClientOptions extends Partial<ClientLimits> {
  /** Opens a connection: checked, dialled, with TLS on it where there is any. Throws a `SallyportError` with `details.layer`. `request`: the one it is opened for. */
  connect(signal: AbortSignal, request: HttpRequest): Promise<Duplex>;
  /** Connections at once; 256 by default */
  maxConnections?: number;
  /** Requests that wait for one; 1,024 by default */
  maxWaiting?: number;
  /** An idle connection is closed after this, before most upstreams would do it; 3 s by default, `ms` */
  idleMs?: number;
}

/** Disposing it cuts every connection. */
export interface HttpClient extends AsyncDisposable {
  readonly forward: Forward;
  /** Requests under way, until the last byte of their reply */
  readonly active: number;
  /** Resolves once none is under way; rejects with the signal's reason. */
  drain(signal?: AbortSignal): Promise<void>;
}

/** Hands each request the connection that was taken for it. */
class HandAgent extends Agent {
  addRequest(request: ClientRequest, { bytes }: { bytes: Duplex }): void {
    request.onSocket(bytes as Socket);
  }
}

export function createHttpClient(options: HttpClientOptions): HttpClient {
  return new Client(options);
}

class Client implements HttpClient {
  readonly #limits: ClientLimits;
  readonly #connections: Connections;
  readonly #agent = new HandAgent({ keepAlive: true });
  readonly #ended = new Notifier();
  #active = 0;

  constructor(options: HttpClientOptions) {
    const { responseHeaderMs = 60_000, maxHeaderBytes = 64 * 1024, layer = "upstream" } = options;
    this.#limits = { responseHeaderMs, maxHeaderBytes, layer };
    this.#connections = new Connections({
      connect: (signal, request) => options.connect(signal, request),
      max: options.maxConnections ?? 256,
      maxWaiting: options.maxWaiting ?? 1_024,
      idleMs: options.idleMs ?? 3_000,
    });
  }

  get active(): number {
    return this.#active;
  }

  readonly forward: Forward = async (request, signal) => {
    this.#active += 1;
    const ended = (): void => {
      this.#active -= 1;
      this.#ended.notify();
    };
    try {
      return await this.#send(request, signal, ended);
    } catch (error) {
      ended();
      throw error;
    }
  };

  async drain(signal?: AbortSignal): Promise<void> {
    while (this.#active > 0) await abortable(this.#ended.wait(), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
    this.#agent.destroy();
  }

  async #send(request: HttpRequest, signal: AbortSignal, ended: () => void): Promise<HttpResponse> {
    const lease = await this.#connections.take(request, signal).catch((error: unknown) => {
      throw unsent(error, this.#limits.layer);
    });
    const deps = { agent: this.#agent, lease, signal, limits: this.#limits };
    const exchange = new ClientExchange({ ...request, headers: tracedHeaders(request) }, deps);
    const response = await exchange.response();
    response.body.once("close", ended);
    return response;
  }
}

const traceparent = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** `x-request-id` is the request's own; one valid `traceparent` (W3C Trace Context §3.2) is kept, else one begins here. */
function tracedHeaders({ id, headers }: HttpRequest): HttpRequest["headers"] {
  const named = withHeader(headers, "x-request-id", id);
  const given = named.filter(([name]) => name === "traceparent").map(([, value]) => value);
  if (given.length === 1 && traceparent.test(given.join())) return named;
  const [trace, span] = [randomHex(), randomHex().slice(0, 16)];
  return withHeader(named, "traceparent", `00-${trace}-${span}-01`);
}

/** 32 digits; Node keeps random bytes ready for UUIDs. */
const randomHex = (): string => randomUUID().replaceAll("-", "");

/** Says of a failure before the first byte that nothing was sent. */
function unsent(cause: unknown, layer: Layer): SallyportError {
  const error = SallyportError.from(cause, "upstream_unreachable");
  const named = layers.find((known) => known === error.details["layer"]) ?? layer;
  const details = { ...error.details, layer: named, sent: false };
  return new SallyportError(error.code, error.message, { details, cause: error.cause ?? error });
}
