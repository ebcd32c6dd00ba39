/** From what Node's parser read to a request; whatever could be understood in two ways is refused. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { SallyportError } from "../errors.ts";
import { parseAuthority, type Authority } from "./authority.ts";
import { arrivedBody } from "./body.ts";
import type { HeaderList, HttpRequest } from "./contract.ts";
import { endToEnd, headerOf, pairsOf, withoutHeaders } from "./headers.ts";

/** A request as it came in. */
export interface FaceRequest extends HttpRequest {
  /** The port in `Host`; null where none is written */
  readonly port: number | null;
  /** Scheme and authority of an absolute-form target, which may differ from `Host`; null for any other form */
  readonly absolute: (Authority & { readonly scheme: "http" | "https" }) | null;
  /** The protocol an `Upgrade` asks for; `h2c` may be overlooked (RFC 9110 §7.8) and is. Nothing is ever upgraded here. */
  readonly upgrade: string | null;
}

export interface ReadOptions {
  /** Keep the `x-request-id` of the caller where it is well-formed */
  readonly keepRequestId: boolean;
  readonly maxTargetBytes: number;
}

/** Throws `request_invalid`. */
export function readRequest(message: IncomingMessage, options: ReadOptions): FaceRequest {
  const pairs = pairsOf(message.rawHeaders);
  const connects = message.method === "CONNECT";
  const isFramed = framed(pairs, message.httpVersion);
  const target = connects ? connectTarget(message.url ?? "") : targetOf(message.url ?? "", options);
  const authority = target.absolute !== null && isOldConnect(message) ? target.absolute : hostOf(pairs);
  return {
    id: idOf(pairs, options),
    method: message.method ?? "GET",
    host: authority.host,
    port: authority.port,
    target: target.path,
    absolute: target.absolute,
    upgrade: upgradeOf(pairs),
    headers: withoutHeaders(endToEnd(pairs), "x-request-id"),
    body: isFramed && !connects ? arrivedBody(message) : null,
  };
}

/** Before HTTP/1.1 a `CONNECT` needs no `Host` (RFC 9110 §7.2), and Python's clients send none. */
function isOldConnect({ method, httpVersion, headers }: IncomingMessage): boolean {
  return method === "CONNECT" && httpVersion === "1.0" && headers.host === undefined;
}

/** An id for what never became a request. */
export function freshId(): string {
  return randomUUID();
}

const requestId = /^[A-Za-z0-9._-]{8,64}$/;

function idOf(pairs: HeaderList, { keepRequestId }: ReadOptions): string {
  const given = keepRequestId ? headerOf(pairs, "x-request-id") : undefined;
  return given !== undefined && requestId.test(given) ? given : freshId();
}

function hostOf(pairs: HeaderList): Authority {
  const hosts = pairs.filter(([name]) => name === "host");
  const authority = hosts.length === 1 ? parseAuthority(hosts[0]?.[1] ?? "") : null;
  if (authority === null) throw invalid("Host: exactly one well-formed hostname is needed");
  return authority;
}

/** Whether a body follows. Both framings at once are refused by the parser already. */
function framed(pairs: HeaderList, version: string): boolean {
  const codings = pairs.filter(([name]) => name === "transfer-encoding");
  if (codings.length > 1 || codings.some(([, value]) => value.toLowerCase() !== "chunked")) {
    throw invalid("Transfer-Encoding: only chunked is understood");
  }
  if (codings.length === 1 && version !== "1.1") throw invalid("Transfer-Encoding: needs HTTP/1.1");
  const length = headerOf(pairs, "content-length");
  return codings.length === 1 || (length !== undefined && Number(length) > 0);
}

function upgradeOf(pairs: HeaderList): string | null {
  const asked = headerOf(pairs, "upgrade")?.trim().toLowerCase();
  return asked === undefined || asked === "h2c" ? null : asked;
}

interface Target {
  path: string;
  absolute: FaceRequest["absolute"];
}

const visible = /^[\x21-\x7e]+$/;
const absoluteForm = /^(https?):\/\/([^/?#]*)([/?].*)?$/i;

function targetOf(url: string, { maxTargetBytes }: ReadOptions): Target {
  if (url.length > maxTargetBytes) throw invalid(`target: longer than ${maxTargetBytes} bytes`);
  if (!visible.test(url) || url.includes("#")) throw invalid("target: bytes that no target may have");
  if (url.startsWith("/") || url === "*") return { path: url, absolute: null };
  const [, scheme, text = "", rest = "/"] = absoluteForm.exec(url) ?? [];
  const authority = parseAuthority(text);
  if (scheme === undefined || authority === null) throw invalid("target: neither a path nor a URL");
  const path = rest.startsWith("?") ? `/${rest}` : rest;
  return { path, absolute: { ...authority, scheme: scheme.toLowerCase() === "https" ? "https" : "http" } };
}

function connectTarget(url: string): Target {
  const authority = parseAuthority(url);
  if (authority?.port == null) throw invalid("CONNECT: the target must be host:port");
  return { path: url, absolute: { ...authority, scheme: "https" } };
}

const invalid = (message: string): SallyportError =>
  new SallyportError("request_invalid", message, { details: { layer: "name" } });
