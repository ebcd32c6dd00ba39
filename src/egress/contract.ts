/** The gateway: the worker-side end of every sandbox's network. It knows sandboxes and grants, never jobs' leases or the wire. */
import type { Duplex } from "node:stream";
import type { AuditLog } from "../audit/index.ts";
import type { Forward } from "../exchange/index.ts";
import type { Log } from "../log.ts";
import type { KnownRoute } from "../tunnel/index.ts";

/** One host a sandbox may use, and how. */
export interface Grant {
  /** A full hostname, or a route's name below the tunnel domain */
  readonly host: string;
  /** Absent: every tool */
  readonly tools?: readonly string[] | undefined;
  readonly maxCalls?: number | undefined;
  /** Calls per second; as many may come at once, and at least one */
  readonly rate?: number | undefined;
}

/** One TCP connection of a program in a sandbox; see `GuestSocket` of the sandbox contract. */
export type LoopbackSocket = Duplex & { readonly port: number };

/** The part of a guest the gateway needs; see `GuestNet` of the sandbox contract. */
export interface LoopbackListener {
  listen(ports: readonly number[], onConnection: (socket: LoopbackSocket) => void): Promise<void>;
}

/** Whose traffic it is, for the audit and the logs. */
export interface Subject {
  readonly job: string;
  readonly sandbox: string;
  readonly profile: string;
}

/** One tool call that a sandbox asked for, and what came of it. */
export interface CallTold {
  readonly requestId: string;
  readonly host: string;
  readonly tool: string;
  readonly decision: "allow" | "deny";
  /** Reason code, such as `granted`, `tool_not_allowed`, `call_limit_exceeded` */
  readonly reason: string;
  /** Null where nothing was sent */
  readonly outcome: string | null;
  readonly ms: number;
}

export interface Attachment extends AsyncDisposable {
  /** Tool calls that were let through */
  readonly calls: number;
}

export interface Gateway extends AsyncDisposable {
  /** PEM of the authority that signs for every host towards the sandboxes of this worker */
  readonly caPem: string;
  /** Canonical hostnames of every route known now, local ones first */
  hosts(): readonly string[];
  /** `hosts` tells something else. */
  onChange(listener: () => void): Disposable;
  /** The full hostname a grant's host stands for. Throws `route_unknown`. */
  resolve(host: string): string;
  /**
   * Gives a sandbox its network: the guest listens on loopback, and what connects there is held to `grants`. No grants: nothing
   * listens. `onCall` is told of every call once it is over. Disposing the attachment cuts every connection of the sandbox.
   * Throws `route_unknown`, and what `listen` throws.
   */
  attach(
    guest: LoopbackListener,
    subject: Subject,
    grants: readonly Grant[],
    onCall?: (call: CallTold) => void,
  ): Promise<Attachment>;
}

/** Somebody who knows routes: a tunnel, or the way to those of others. */
export interface RouteSource {
  routes(): readonly KnownRoute[];
  onChange(listener: () => void): Disposable;
}

export interface GatewayDeps {
  /** The tunnel in this process; its routes are reached directly */
  local?: (RouteSource & { readonly forward: Forward }) | undefined;
  /** Routes of others, and the way to them */
  remote?: (RouteSource & { readonly forward: Forward }) | undefined;
  audit: Pick<AuditLog, "record">;
  log: Log;
  /** Monotonic `ms` */
  clock?: () => number;
}

/** What one sandbox is held to; each has a default. */
export interface GatewayLimits {
  /** Connections served at once; 64. As many again and half as many wait, more are reset */
  connections: number;
  /** Connections taken up per second; 200 */
  connectionsPerSecond: number;
  /** Requests per second; 2,000 */
  requestsPerSecond: number;
  /** bytes of bodies from the sandbox; 4 GiB */
  bytesFrom: number;
  /** bytes of bodies to the sandbox; 4 GiB */
  bytesTo: number;
  /** A request's line and headers, bytes; 32 KiB */
  headerBytes: number;
  /** Bodies that are held while they are judged, bytes of all at once; 16 MiB. More wait on their connections */
  judgedBytes: number;
  /** How long a connection may be without a request, `ms`; 60 s */
  idleMs: number;
  /** For a TLS handshake, `ms`; 10 s */
  handshakeMs: number;
}
