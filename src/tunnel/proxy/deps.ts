/** What a tunnel needs from the process it runs in. */
import type { Duplex } from "node:stream";
import type { Log } from "../../log.ts";
import type { RemoteWay, TunnelConfig } from "../contract.ts";
import type { ResolveAll } from "../upstream/guard.ts";
import type { ReadSecret } from "./credential.ts";
import type { TunnelFigures } from "./figures.ts";

export interface TunnelDeps {
  readonly log: Log;
  /** Reads the file again, for `reload`. Throws `config_invalid`. */
  readConfig(): Promise<TunnelConfig>;
  readonly readSecret: ReadSecret;
  /** Names this connector in the session ids it gives out; the same over its lives */
  readonly connector: string;
  /** The way to other connectors of the same tunnel; absent: there is none */
  readonly peer?: Pick<RemoteWay, "open"> | undefined;
  readonly figures?: TunnelFigures | undefined;
  /** Name service; that of the host by default */
  readonly resolve?: ResolveAll | undefined;
  readonly limits?: Partial<TunnelLimits> | undefined;
}

export interface TunnelLimits {
  /** Callers connected at once */
  readonly connections: number;
  /** A caller's handshake, `ms` */
  readonly handshakeMs: number;
  /** From the request to the head of the upstream's reply; a body may take any time; `ms` */
  readonly responseHeaderMs: number;
  /** Connections at once to one upstream */
  readonly upstreamConnections: number;
  /** Between two looks at every upstream, `ms` */
  readonly probeMs: number;
  /** Between two looks at the certificate's files, `ms` */
  readonly certificateMs: number;
}

export const defaultLimits: TunnelLimits = {
  connections: 2_048,
  handshakeMs: 10_000,
  responseHeaderMs: 120_000,
  upstreamConnections: 256,
  probeMs: 10_000,
  certificateMs: 2_000,
};

/** Opens a byte stream on which inner TLS begins. */
export type OpenBytes = (requestId: string, signal: AbortSignal) => Promise<Duplex>;
