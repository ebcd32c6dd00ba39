/** The network of one sandbox: its connections, what each request of theirs is decided to be, and what becomes of it. */
import type { Duplex } from "node:stream";
import type { SecureContext } from "node:tls";
import { deadlineSignal, Notifier } from "../async/index.ts";
import type { AuditEntry, AuditLog } from "../audit/index.ts";
import {
  ByteRoom,
  type FaceRequest,
  type Forward,
  type HttpFace,
  type HttpRequest,
  type HttpResponse,
} from "../exchange/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import { throughToolPolicy } from "../mcp/index.ts";
import { addresseeOf, tunnelTargetOf, type Door } from "./addressee.ts";
import type { Attachment, CallTold, GatewayLimits, LoopbackSocket, Subject } from "./contract.ts";
import { endTls } from "./end-tls.ts";
import { Allowance, throughRecord, type ExchangeEnd } from "./exchange-record.ts";
import { withoutClaims } from "./headers.ts";
import { decide, type Grants } from "./policy.ts";
import type { RouteBook } from "./routes.ts";
import { throughSessions } from "./sessions.ts";
import { TokenBucket } from "./token-bucket.ts";
import { createToolRule } from "./tool-rule.ts";
import { Turnstile } from "./turnstile.ts";

/** What an HTTP connection is served with */
export interface Visit {
  network: SandboxNetwork;
  door: Door;
}

export interface NetworkDeps {
  face: HttpFace<Visit>;
  contextFor: (host: string) => SecureContext;
  routes: RouteBook;
  audit: Pick<AuditLog, "record">;
  log: Log;
  clock: () => number;
  /** It is disposed. */
  gone: (network: SandboxNetwork) => void;
}

export interface NetworkOptions {
  subject: Subject;
  grants: Grants;
  limits: GatewayLimits;
  onCall: (call: CallTold) => void;
}

/** How long what was cut may take to be told, `ms` */
const farewellMs = 1_000;

export class SandboxNetwork implements Attachment {
  readonly #deps: NetworkDeps;
  readonly #options: NetworkOptions;
  readonly #turnstile: Turnstile<LoopbackSocket>;
  readonly #requests: TokenBucket;
  readonly #forwards: ReadonlyMap<string, Forward>;
  readonly #ended = new Notifier();
  #calls = 0;
  /** requests under way */
  #active = 0;
  #disposing: Promise<void> | undefined;
  #over = false;

  constructor(deps: NetworkDeps, options: NetworkOptions) {
    const { connections, connectionsPerSecond, requestsPerSecond: perSecond } = options.limits;
    const { clock } = deps;
    this.#deps = deps;
    this.#options = options;
    this.#turnstile = new Turnstile(
      { atOnce: connections, waiting: connections * 1.5, perSecond: connectionsPerSecond, clock },
      (socket) => this.#take(socket),
    );
    this.#requests = new TokenBucket({ perSecond, burst: perSecond }, clock);
    this.#forwards = this.#makeForwards();
  }

  get calls(): number {
    return this.#calls;
  }

  /** Takes a connection of a program. Never throws. */
  accept(socket: LoopbackSocket): void {
    this.#turnstile.enter(socket);
  }

  /** Throws what the caller is told instead of a reply. */
  async handle(request: FaceRequest, door: Door, signal: AbortSignal): Promise<HttpResponse> {
    if (!this.#requests.take())
      throw new SallyportError("network_limit_exceeded", "too many requests per second");
    const host = this.#admit(request, () => addresseeOf(request, door));
    const forward = this.#forwards.get(host);
    if (forward === undefined) throw new SallyportError("internal", "a grant without its way");
    const { id, method, target, body } = request;
    this.#active += 1;
    return await forward({ id, method, host, target, headers: withoutClaims(request.headers), body }, signal);
  }

  /** Decides on a CONNECT: who gets the bytes. Throws what the caller is told instead. */
  connect(request: FaceRequest, door: Door): (bytes: Duplex) => void {
    let isTls = true;
    const tunnelled = this.#admit(request, () => {
      const { host, port } = tunnelTargetOf(request, door);
      isTls = port === 443;
      return host;
    });
    return (bytes) => {
      if (isTls) void this.#serveTls(bytes, tunnelled);
      else this.#serve(bytes, { kind: "plain", tunnelled });
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#cut();
    return this.#disposing;
  }

  async #cut(): Promise<void> {
    this.#turnstile[Symbol.dispose]();
    this.#deps.gone(this);
    using deadline = deadlineSignal(farewellMs, "the end of what was cut");
    while (this.#active > 0 && !deadline.signal.aborted)
      await this.#ended.wait(deadline.signal).catch(() => undefined);
    this.#over = true;
  }

  #take(socket: LoopbackSocket): void {
    if (socket.port === 443) void this.#serveTls(socket, null);
    else this.#serve(socket, socket.port === 80 ? { kind: "plain", tunnelled: null } : { kind: "proxy" });
  }

  #serve(bytes: Duplex, door: Door): void {
    this.#deps.face.serve(bytes, { network: this, door });
  }

  async #serveTls(bytes: Duplex, tunnelled: string | null): Promise<void> {
    const { contextFor, log } = this.#deps;
    try {
      const ended = await endTls(bytes, contextFor, this.#options.limits.handshakeMs);
      this.#serve(ended.bytes, { kind: "tls", sni: ended.sni, tunnelled });
    } catch (error) {
      log.debug({ ...this.#options.subject, err: error }, "a sandbox's TLS failed");
    }
  }

  /** The one decision about a request. Throws what the caller is told where it is refused. */
  #admit(request: FaceRequest, hostOf: () => string): string {
    const { grants } = this.#options;
    let host = request.host;
    let rule: AuditEntry["rule"] = "job";
    try {
      host = hostOf();
      const decision = decide(grants, (known) => this.#deps.routes.wayOf(known) !== undefined, host);
      if (decision.allow) return host;
      rule = decision.rule;
      throw decision.error;
    } catch (error) {
      const { code, status } = SallyportError.from(error);
      this.#record(request, { host, decision: "deny", reason: code, rule, status });
      throw error;
    }
  }

  /** One for each grant: record, session, tools, and then the way its route is on. */
  #makeForwards(): ReadonlyMap<string, Forward> {
    const { routes, clock, audit } = this.#deps;
    const { grants, limits, subject } = this.#options;
    const [from, to] = [new Allowance(limits.bytesFrom), new Allowance(limits.bytesTo)];
    const room = new ByteRoom(limits.judgedBytes);
    const forwards = [...grants].map(([host, grant]) => {
      const rule = createToolRule(grant, {
        audit,
        subject,
        clock,
        admitted: () => (this.#calls += 1),
        onCall: (call) => this.#tell(call),
      });
      const held = throughSessions(throughToolPolicy(rule, routes.forward, room));
      const ended = (request: HttpRequest, end: ExchangeEnd): void => this.#exchangeEnded(request, end);
      return [host, throughRecord(held, { from, to, clock, ended })] as const;
    });
    return new Map(forwards);
  }

  #exchangeEnded(request: HttpRequest, end: ExchangeEnd): void {
    const { host } = request;
    const way = this.#deps.routes.wayOf(host);
    const line = { host, decision: "allow", reason: "granted", rule: "job", ...end } as const;
    this.#record(request, way === undefined ? line : { ...line, way });
    this.#active -= 1;
    this.#ended.notify();
  }

  #record(
    { id, method }: Pick<HttpRequest, "id" | "method">,
    line: Omit<AuditEntry, "kind" | "requestId" | "job" | "sandbox" | "method">,
  ): void {
    const { job, sandbox } = this.#options.subject;
    this.#deps.audit.record({ kind: "decision", requestId: id, job, sandbox, method, ...line });
  }

  #tell(call: CallTold): void {
    if (!this.#over) this.#options.onCall(call);
  }
}
