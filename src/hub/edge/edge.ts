/** Where callers from outside come in: it learns the host they want, and carries bytes it cannot read to a connector of that route. */
import { randomUUID } from "node:crypto";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { deadlineSignal, Notifier, withDeadline } from "../../async/index.ts";
import { byteDuplex } from "../../channel/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { TunnelMetrics } from "../tunnel/metrics.ts";
import { openRoute } from "../tunnel/relay.ts";
import type { RouteRegistry } from "../tunnel/route-registry.ts";
import { EdgeAdmission, type EdgeCaps } from "./admission.ts";
import { EdgeAnswers } from "./answers.ts";
import { readBeginning } from "./first-bytes.ts";
import { canonicalHost } from "./host.ts";
import { splice } from "./splice.ts";

export interface EdgeDeps {
  routes: RouteRegistry;
  metrics: TunnelMetrics;
  log: Log;
}

export interface EdgeOptions extends Partial<EdgeCaps> {
  host: string;
  /** 0 picks one */
  port: number;
  /** for a caller to say what it wants, and as much again to take a refusal, `ms`; default 10 s */
  handshakeMs?: number;
  /** quiet on a connection that was given its whole reply before it is closed, `ms`; default 60 s */
  lingerMs?: number;
}

/** quiet on a connection before TCP asks whether the caller is still there, `ms` */
const keepAliveMs = 15_000;

/** Throws `config_invalid` when it cannot listen there. */
export async function openEdge(deps: EdgeDeps, options: EdgeOptions): Promise<Edge> {
  const edge = new Edge(deps, options);
  await edge.listen();
  return edge;
}

export class Edge implements AsyncDisposable {
  readonly #deps: EdgeDeps;
  readonly #options: EdgeOptions;
  readonly #handshakeMs: number;
  readonly #lingerMs: number;
  readonly #admission: EdgeAdmission;
  readonly #answers: EdgeAnswers;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** when those end that are not carried anywhere */
  readonly #ends = new WeakMap<Duplex, NodeJS.Timeout>();
  readonly #left = new Notifier();

  constructor(deps: EdgeDeps, options: EdgeOptions) {
    const { connections = 4_096, perSource = 1_024, handshakeMs = 10_000, lingerMs = 60_000 } = options;
    this.#deps = deps;
    this.#options = options;
    this.#handshakeMs = handshakeMs;
    this.#lingerMs = lingerMs;
    this.#admission = new EdgeAdmission({ connections, perSource });
    this.#answers = new EdgeAnswers((socket, host) => this.#connect(socket, host));
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs },
      (socket) => this.#take(socket),
    );
  }

  /** `host:port` */
  get address(): string {
    const { address, port, family } = this.#server.address() as AddressInfo;
    return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
  }

  /** connections open at the moment */
  get size(): number {
    return this.#sockets.size;
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject).listen({ host, port }, resolve);
      });
    } catch (cause) {
      const why = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
      throw new SallyportError("config_invalid", `edge: cannot listen on ${host} port ${port}: ${why}`, {
        details: { field: "edge", fix: "choose another port, or an address of this host" },
        cause,
      });
    }
    this.#server.on("error", (error) => this.#deps.log.error({ err: error }, "edge cannot accept"));
  }

  /** Takes nobody new; resolves once nobody is left, at the latest after `deadlineMs`. */
  async drain(deadlineMs: number): Promise<void> {
    this.#server.close();
    await withDeadline(this.#empty(), deadlineMs, "draining the edge").catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    this.#answers[Symbol.dispose]();
    await closed;
  }

  async #empty(): Promise<void> {
    while (this.#sockets.size > 0) await this.#left.wait();
  }

  #take(socket: Socket): void {
    const source = (socket.remoteAddress ?? "unknown").replace(/^::ffff:/, "");
    const ticket = this.#admission.admit(source);
    if (ticket === undefined) {
      this.#deps.metrics.edgeRefused("capacity_exhausted");
      socket.resetAndDestroy();
      return;
    }
    const open = this.#deps.metrics.edgeOpened();
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#left.notify();
      ticket[Symbol.dispose]();
      open[Symbol.dispose]();
    });
    void this.#begin(socket);
  }

  async #begin(socket: Socket): Promise<void> {
    try {
      using deadline = deadlineSignal(this.#handshakeMs, "saying what is wanted");
      const beginning = await readBeginning(socket, deadline.signal);
      if (beginning.kind === "tls") await this.#carry(socket, beginning.name ?? "");
      else this.#refusePlain(socket, beginning.kind === "http" ? undefined : beginning.reason);
    } catch (error) {
      const { code, message } = SallyportError.from(error, "cancelled");
      this.#deps.metrics.edgeRefused(code);
      this.#deps.log.debug({ peer: socket.remoteAddress, code, reason: message }, "edge caller not served");
      socket.destroy();
    }
  }

  #refusePlain(socket: Socket, reason: string | undefined): void {
    this.#endSoon(socket);
    if (reason === undefined) this.#answers.http(socket);
    else {
      this.#deps.metrics.edgeRefused("request_invalid");
      this.#answers.garbage(socket, reason);
    }
  }

  async #carry(socket: Socket, name: string): Promise<void> {
    const requestId = randomUUID();
    try {
      await this.#join(socket, name, requestId);
    } catch (error) {
      this.#endSoon(socket);
      this.#answers.tls(socket, { error: this.#counted(error), host: name, requestId });
    }
  }

  /** A caller that asked for a route with `CONNECT`. */
  async #connect(socket: Duplex, host: string): Promise<void> {
    const requestId = randomUUID();
    const greet = (): void => {
      clearTimeout(this.#ends.get(socket));
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    };
    try {
      await this.#join(socket as Socket, host, requestId, greet);
    } catch (error) {
      this.#answers.connect(socket, { error: this.#counted(error), host, requestId });
    }
  }

  #counted(error: unknown): SallyportError {
    const reason = SallyportError.from(error, "route_unavailable");
    this.#deps.metrics.edgeRefused(reason.code);
    return reason;
  }

  /** Throws while nothing was sent either way; a connection that was joined ends without an error. */
  async #join(socket: Socket, name: string, requestId: string, joined?: () => void): Promise<void> {
    const host = canonicalHost(name);
    if (host === undefined) throw nameUnknown(name);
    const caller = `edge ${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
    using route = await openRoute(this.#deps, { kind: "tunnel", host, requestId, caller });
    const bytes = byteDuplex(route.pair);
    if (socket.destroyed) {
      bytes.destroy(new SallyportError("cancelled", "the caller left"));
      return;
    }
    joined?.();
    const { metrics, log } = this.#deps;
    socket.on("data", (chunk: Buffer) => metrics.bytes(host, "in", chunk.length));
    bytes.on("data", (chunk: Buffer) => metrics.bytes(host, "out", chunk.length));
    bytes.once("end", () => this.#letLinger(socket));
    log.debug({ host, requestId, caller, to: route.offerer.label }, "edge caller joined");
    await splice(socket, bytes);
  }

  /** However slowly a caller goes on. */
  #endSoon(socket: Socket): void {
    const end = setTimeout(() => socket.destroy(), this.#handshakeMs);
    this.#ends.set(socket, end);
    socket.once("close", () => clearTimeout(end));
  }

  /** A caller that was told all there is may take its time to read it, and so long to go. */
  #letLinger(socket: Socket): void {
    socket.setTimeout(this.#lingerMs, () => socket.destroy());
  }
}

function nameUnknown(name: string): SallyportError {
  const what =
    name === ""
      ? "the caller named no host (SNI)"
      : `no connector offers ${JSON.stringify(name.slice(0, 253))}`;
  return new SallyportError("route_unknown", what, {
    details: { layer: "name", fix: "call a route by its full hostname, see `sallyport routes ls`" },
  });
}
