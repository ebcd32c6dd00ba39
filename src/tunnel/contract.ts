/** How MCP servers become reachable by name without an inbound port: what a tunnel is made from, and what it offers. */
import type { Duplex } from "node:stream";
import type { Forward, Layer } from "../exchange/index.ts";

export interface UpstreamAddress {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
}

/** A secret that is stamped on requests of one route: never in a sandbox, never in a log, redacted on the way back. */
export interface RouteCredential {
  /** Header name in lower case; whatever the caller sent under it is removed */
  readonly header: string;
  /** Put before the secret, such as `Bearer ` */
  readonly prefix: string;
  readonly from: { readonly file: string } | { readonly env: string };
}

/** What our `sallyport:` key adds to one route. */
export interface RouteSettings {
  readonly credential: RouteCredential | null;
  /** Ceiling for every caller, also those from outside; null: every tool */
  readonly tools: readonly string[] | null;
  readonly pin: "off" | "warn" | "deny";
}

/** A parsed tunnel file (keys, defaults and error texts as documented for `config.yaml`). Frozen. */
export interface TunnelConfig {
  readonly file: string;
  /** The plaintext WebSocket listener of the stand-alone proxy, an empty host meaning every interface; null where the file has none */
  readonly listen: { readonly host: string; readonly port: number } | null;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly shutdownTimeoutMs: number;
  /** Canonical; null where keys of `routes` are full hostnames */
  readonly tunnelDomain: string | null;
  /** Server certificate of inner TLS; null: routes are served to this worker's own sandboxes only */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** By key as written, canonical */
  readonly routes: ReadonlyMap<string, UpstreamAddress>;
  readonly upstream: {
    /** CIDRs or single addresses; IPv4 and IPv6 */
    readonly allowedIps: readonly string[];
    readonly disableIpValidation: boolean;
    readonly tls: { readonly caFile: string | null; readonly includeSystemCas: boolean };
  };
  /** By the same keys as `routes` */
  readonly settings: ReadonlyMap<string, RouteSettings>;
  /** Callers must present a certificate signed by this CA; null: none is asked for */
  readonly clientCaFile: string | null;
  /** `host:port` of a metrics and health listener; null: none */
  readonly metrics: { readonly host: string; readonly port: number } | null;
}

/** A name jobs and callers can use. */
export interface KnownRoute {
  /** Canonical full hostname */
  readonly host: string;
  /** The subdomain below the tunnel domain, which a job may name instead; null where there is none */
  readonly name: string | null;
}

export interface RouteHealth extends KnownRoute {
  readonly state: "up" | "down" | "unknown";
  /** The layer that failed and why, where it is down */
  readonly layer: Layer | null;
  readonly reason: string | null;
  /** Wall clock `ms` of the last look; null: never */
  readonly checkedAt: number | null;
}

/** Who asks, as far as the way in can tell. */
export interface Caller {
  /** For logs: address, worker or connector */
  readonly peer: string;
}

/** A tunnel made from one config file, in the process that can reach the upstreams. Disposing it drains and closes. */
export interface Tunnel extends AsyncDisposable {
  readonly domain: string | null;
  routes(): readonly RouteHealth[];
  /** Routes or their health changed. */
  onChange(listener: () => void): Disposable;
  /** The local way: route, address check, dial, stamp, pin. Applies the route's own tool ceiling. */
  readonly forward: Forward;
  /** Serves one caller's inner TLS on a byte stream from the edge, a worker or a WebSocket. Never rejects; ends with the stream. */
  serve(bytes: Duplex, caller: Caller): void;
  /** Reads the file again: validate, probe, swap, drain. Throws `config_invalid` naming the line, and keeps the old one. */
  reload(): Promise<void>;
  /** Takes nothing new; resolves when no request is under way, at the latest after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
}

/** The way to routes that others offer: byte streams over a channel, each carrying inner TLS the hub cannot read. */
export interface RemoteWay {
  /** Every route the hub knows of */
  routes(): readonly KnownRoute[];
  onChange(listener: () => void): Disposable;
  /**
   * Opens a byte stream to a proxy for `host`: to `connector` where it is named, else to any that offers it. Throws
   * `route_unknown`, `route_unavailable` or `channel_closed`, with `details.layer`; nothing was sent then.
   */
  open(target: { host: string; connector?: string; requestId: string }, signal: AbortSignal): Promise<Duplex>;
}
