/** A gateway over memory: a guest whose ports can be dialled, routes that only take notes, and an audit in a list. */
import { once } from "node:events";
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import { Agent } from "node:http";
import { Duplex, duplexPair, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { AuditEntry } from "../../src/audit/index.ts";
import {
  createGateway,
  type Attachment,
  type CallTold,
  type Gateway,
  type GatewayLimits,
  type Grant,
  type LoopbackListener,
  type LoopbackSocket,
} from "../../src/egress/index.ts";
import type { Forward, HttpRequest, HttpResponse } from "../../src/exchange/index.ts";
import { silentLog } from "../../src/log.ts";
import type { KnownRoute } from "../../src/tunnel/index.ts";

export const domain = "t.test";
export const full = (name: string): string => `${name}.${domain}`;

/** The inside of a sandbox: what connects to its ports. */
export class LoopbackGuest implements LoopbackListener {
  readonly listening: number[] = [];
  readonly hostEnds: LoopbackSocket[] = [];
  #accept: ((socket: LoopbackSocket) => void) | undefined;

  async listen(ports: readonly number[], onConnection: (socket: LoopbackSocket) => void): Promise<void> {
    this.listening.push(...ports);
    this.#accept = onConnection;
  }

  /** A program's end of a new connection; cut when the host cuts its own. */
  dial(port: number): Duplex {
    if (this.#accept === undefined || !this.listening.includes(port)) throw new Error("connection refused");
    const [inside, outside] = duplexPair({ readableHighWaterMark: 1 });
    const socket = Object.assign(outside, { port });
    inside.on("error", () => undefined);
    socket.once("close", () => inside.destroy());
    inside.once("close", () => socket.destroy());
    this.hostEnds.push(socket);
    this.#accept(socket);
    return inside;
  }
}

export function reply(
  status: number,
  body: string | Readable,
  headers: Record<string, string> = {},
): HttpResponse {
  const bytes = typeof body === "string" ? Readable.from([Buffer.from(body)]) : body;
  return { status, headers: Object.entries(headers), body: bytes };
}

/** Routes whose requests are noted and answered by `answer`. */
export class NotingRoutes {
  readonly seen: HttpRequest[] = [];
  readonly bodies: string[] = [];
  answer: (request: HttpRequest, signal: AbortSignal) => HttpResponse | Promise<HttpResponse>;
  #routes: readonly KnownRoute[];
  readonly #listeners = new Set<() => void>();

  constructor(...names: string[]) {
    this.#routes = names.map((name) => ({ host: full(name), name }));
    this.answer = (request) => reply(200, `hello from ${request.host}`, { "content-type": "text/plain" });
  }

  routes(): readonly KnownRoute[] {
    return this.#routes;
  }

  set(...names: string[]): void {
    this.#routes = names.map((name) => ({ host: full(name), name }));
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  readonly forward: Forward = async (request, signal) => {
    this.seen.push(request);
    const body = request.body === null ? "" : (await buffer(request.body)).toString();
    this.bodies.push(body);
    if (signal.aborted) throw signal.reason;
    return await this.answer(request, signal);
  };
}

export interface GatewayRig extends AsyncDisposable {
  gateway: Gateway;
  local: NotingRoutes;
  remote: NotingRoutes;
  audit: AuditEntry[];
  attach(grants: readonly Grant[], sandbox?: string): Promise<Sandbox>;
}

export interface Sandbox {
  guest: LoopbackGuest;
  attachment: Attachment;
  told: CallTold[];
  /** One request over a new connection */
  ask(url: string, options?: Ask): Promise<Answer>;
  tls(servername: string, options?: ConnectionOptions, bytes?: Duplex): Promise<TLSSocket>;
  /** Sends bytes to a port and gives back what comes until the end */
  raw(port: number, bytes: string | Buffer): Promise<string>;
}

export interface Ask extends Pick<RequestOptions, "method" | "headers"> {
  body?: string;
  servername?: string;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

export function startGateway(limits: Partial<GatewayLimits> = {}, clock?: () => number): GatewayRig {
  const local = new NotingRoutes("docs", "wiki");
  const remote = new NotingRoutes("far", "docs");
  const audit: AuditEntry[] = [];
  const gateway = createGateway(
    {
      local,
      remote,
      audit: {
        record: (entry, args) =>
          void audit.push({ ...entry, ...(args && { arguments: `digest-${args.length}` }) }),
      },
      log: silentLog(),
      ...(clock && { clock }),
    },
    limits,
  );
  const attach = async (grants: readonly Grant[], sandbox = "sandbox-1"): Promise<Sandbox> => {
    const guest = new LoopbackGuest();
    const told: CallTold[] = [];
    const subject = { job: `job of ${sandbox}`, sandbox, profile: "p" };
    const attachment = await gateway.attach(guest, subject, grants, (call) => told.push(call));
    const inside = { guest, ca: gateway.caPem };
    return {
      guest,
      attachment,
      told,
      ask: (url, options) => ask(inside, new URL(url), options),
      tls: (servername, options, bytes) => tls(inside, servername, options, bytes),
      raw: (port, bytes) => raw(guest.dial(port), bytes),
    };
  };
  return {
    gateway,
    local,
    remote,
    audit,
    attach,
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
}

interface Inside {
  guest: LoopbackGuest;
  ca: string;
}

async function tls(
  { guest, ca }: Inside,
  servername: string,
  options: ConnectionOptions = {},
  bytes: Duplex = guest.dial(443),
): Promise<TLSSocket> {
  const socket = connectTls({ socket: bytes, ca, servername, ...options });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("cut")));
  });
  socket.on("error", () => undefined);
  return socket;
}

async function ask(inside: Inside, url: URL, { body, servername, ...options }: Ask = {}): Promise<Answer> {
  const isTls = url.protocol === "https:";
  const bytes = isTls ? await tls(inside, servername ?? url.hostname) : inside.guest.dial(80);
  const agent = Object.assign(new Agent(), { createConnection: () => bytes });
  const request = httpRequest(`http://${url.host}${url.pathname}${url.search}`, { agent, ...options });
  request.end(body);
  const [response] = (await once(request, "response")) as [import("node:http").IncomingMessage];
  request.on("error", () => undefined);
  const text = (await buffer(response)).toString();
  bytes.destroy();
  return { status: response.statusCode ?? 0, headers: response.headers, text };
}

export async function raw(socket: Duplex, bytes: string | Buffer): Promise<string> {
  socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  // what came first is taken up before the program says that it has no more
  setTimeout(() => socket.end(), 10);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve) => {
    socket.once("close", resolve);
    socket.once("end", resolve);
  });
  return Buffer.concat(chunks).toString("latin1");
}
