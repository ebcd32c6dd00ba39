/**
 * One HTTP/1.1 request and its response as values, so that policy, stamping and routing are functions from a `Forward` to a
 * `Forward` and only the two ends know sockets. Bodies are streams, never collected here.
 */
import type { Readable } from "node:stream";

/** Names in lower case, in the order they came; hop-by-hop headers and those named in `Connection` are left out. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

export interface HttpRequest {
  /** Names this request in every log, in the audit and upstream as `x-request-id` */
  readonly id: string;
  readonly method: string;
  /** Canonical host, without port */
  readonly host: string;
  /** Path and query, byte for byte as they came */
  readonly target: string;
  readonly headers: HeaderList;
  /** Null where there is none */
  readonly body: Readable | null;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Readable;
}

/**
 * Carries one request out. Throws a `SallyportError`; `details.layer` (a `Layer`) says which layer failed, `details.sent` is true
 * where bytes of the request may have reached the upstream. When `signal` fires the request is given up on both sides.
 */
export type Forward = (request: HttpRequest, signal: AbortSignal) => Promise<HttpResponse>;

/** The layers a call passes, in order; a failure names the first that did not hold. */
export const layers = [
  "name",
  "policy",
  "edge",
  "inner_tls",
  "route",
  "ip",
  "dial",
  "upstream_tls",
  "upstream",
  "auth",
  "tools_list",
] as const;
export type Layer = (typeof layers)[number];
