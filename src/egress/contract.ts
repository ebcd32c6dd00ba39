/** The gateway: the worker-side end of every sandbox's network. It knows sandboxes and grants, never jobs' leases or the wire. */
import type { Duplex } from "node:stream";

/** One host a sandbox may use, and how. */
export interface Grant {
  /** A full hostname, or a route's name below the tunnel domain */
  readonly host: string;
  /** Absent: every tool */
  readonly tools?: readonly string[] | undefined;
  readonly maxCalls?: number | undefined;
  /** Calls per second */
  readonly rate?: number | undefined;
}

/** The part of a guest the gateway needs; see `GuestNet` of the sandbox contract. */
export interface LoopbackListener {
  listen(
    ports: readonly number[],
    onConnection: (socket: Duplex & { readonly port: number }) => void,
  ): Promise<void>;
}

/** Whose traffic it is, for the audit and the logs. */
export interface Subject {
  readonly job: string;
  readonly sandbox: string;
  readonly profile: string;
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
  onChange(listener: () => void): Disposable;
  /** The full hostname a grant's host stands for. Throws `route_unknown`. */
  resolve(host: string): string;
  /**
   * Gives a sandbox its network: the guest listens on loopback, and what connects there is held to `grants`. No grants: nothing
   * listens. Disposing it cuts every connection of the sandbox.
   */
  attach(guest: LoopbackListener, subject: Subject, grants: readonly Grant[]): Promise<Attachment>;
}
