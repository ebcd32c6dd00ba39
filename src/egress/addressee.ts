/** Which host a request is for. Every place that names one has to name the same; nothing is guessed or repaired. */
import type { FaceRequest } from "../exchange/index.ts";
import { SallyportError } from "../errors.ts";
import { canonicalHost } from "../tunnel/index.ts";
import { notAllowed } from "./policy.ts";

/** How a connection came in: what is fixed about its host before the first request. */
export type Door =
  /** TLS was ended here for `sni`; `tunnelled`: the host of the CONNECT before it */
  | { readonly kind: "tls"; readonly sni: string; readonly tunnelled: string | null }
  | { readonly kind: "plain"; readonly tunnelled: string | null }
  | { readonly kind: "proxy" };

const usualPorts = { tls: 443, plain: 80, proxy: 80 } as const;
const schemes = { tls: "https", plain: "http", proxy: "http" } as const;

/** The canonical host of a request. Throws `host_mismatch`, `host_not_allowed` or `request_invalid`. */
export function addresseeOf(request: FaceRequest, door: Door): string {
  if (request.upgrade !== null) throw invalid("Upgrade: nothing is upgraded here");
  if (request.target === "*") throw invalid("target: * is for nobody");
  const usual = usualPorts[door.kind];
  const host = hostAt(request, usual, door.kind === "proxy");
  checkAbsolute(request, door, host);
  if (door.kind === "proxy") return host;
  if (door.kind === "tls" && door.sni !== host) throw mismatch("Host", "the TLS server name");
  if (door.tunnelled !== null && door.tunnelled !== host) throw mismatch("Host", "the CONNECT target");
  return host;
}

export interface TunnelTarget {
  readonly host: string;
  readonly port: 80 | 443;
}

/** The target of a CONNECT. Throws `host_mismatch`, `host_not_allowed` or `request_invalid`. */
export function tunnelTargetOf({ absolute, host, port }: FaceRequest, door: Door): TunnelTarget {
  if (door.kind !== "proxy" || absolute === null) throw invalid("CONNECT: only the proxy's port takes it");
  const target = canonicalHost(absolute.host);
  if (target === undefined || (absolute.port !== 443 && absolute.port !== 80))
    throw notAllowed(absolute.host);
  if (canonicalHost(host) !== target || (port !== null && port !== absolute.port))
    throw mismatch("Host", "the CONNECT target");
  return { host: target, port: absolute.port };
}

function hostAt({ host: text, port }: FaceRequest, usual: number, isProxy: boolean): string {
  const host = canonicalHost(text);
  if (host === undefined) throw notAllowed(text);
  if (port === null || port === usual) return host;
  throw isProxy ? notAllowed(text) : mismatch("the port in Host", "the connection's");
}

function checkAbsolute({ absolute }: FaceRequest, door: Door, host: string): void {
  if (absolute === null) {
    if (door.kind === "proxy") throw invalid("target: a proxy needs the whole URL");
    return;
  }
  if (absolute.scheme !== schemes[door.kind]) throw invalid("target: the scheme is not the connection's");
  const usual = usualPorts[door.kind];
  if (canonicalHost(absolute.host) !== host || (absolute.port !== null && absolute.port !== usual))
    throw mismatch("the target", "Host");
}

const invalid = (message: string): SallyportError =>
  new SallyportError("request_invalid", message, { details: { layer: "name" } });

const mismatch = (one: string, other: string): SallyportError =>
  new SallyportError("host_mismatch", `${one} names another host than ${other}`);
