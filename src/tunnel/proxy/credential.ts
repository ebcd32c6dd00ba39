/** Stamps a route's secret on its requests: one credential reaches the upstream, and none comes back. */
import { pipeline } from "node:stream";
import { SallyportError } from "../../errors.ts";
import {
  headerOf,
  withHeader,
  withoutHeaders,
  type Forward,
  type HttpRequest,
  type HttpResponse,
} from "../../exchange/index.ts";
import type { RouteCredential } from "../contract.ts";
import { Redaction } from "./redact.ts";
import { Blotter } from "./spellings.ts";

/** Reads a secret where a route says it is. */
export type ReadSecret = (credential: RouteCredential) => Promise<string>;

/** A secret that was read is used this long, `ms`; a rotated one is then read again */
const secretMs = 5_000;

/** Whatever else a caller could use to say who it is; a range of a reply could show a secret in pieces. */
const callersOwn = [
  "authorization",
  "cookie",
  "x-api-key",
  "api-key",
  "range",
  "if-range",
  "accept-encoding",
];

export function throughCredential(
  credential: RouteCredential,
  readSecret: ReadSecret,
  forward: Forward,
): Forward {
  const secretOf = cached(async () => await keyFrom(credential, readSecret));
  return async (request, signal) => {
    refuseTokenInQuery(request);
    const { secret, ...blotters } = await secretOf();
    const bare = withoutHeaders(request.headers, credential.header, ...callersOwn);
    const plain = withHeader(bare, "accept-encoding", "identity");
    const headers = withHeader(plain, credential.header, credential.prefix + secret);
    return redacted(await forward({ ...request, headers }, signal), blotters);
  };
}

interface Blotters {
  readonly blotter: Blotter;
  /** For names of headers, which are in lower case */
  readonly inNames: Blotter;
}

interface Key extends Blotters {
  readonly secret: string;
}

async function keyFrom(credential: RouteCredential, readSecret: ReadSecret): Promise<Key> {
  const secret = await readSecret(credential).catch(() => "");
  if (secret === "") throw noSecret(credential);
  const secrets = [secret, ...decodedBasic(credential, secret)];
  const inNames = new Blotter(secrets.map((each) => each.toLowerCase()));
  return { secret, blotter: new Blotter(secrets), inNames };
}

/** RFC 7617: what an upstream reads out of `Basic` is as secret as what was stamped. */
function decodedBasic({ prefix }: RouteCredential, secret: string): string[] {
  if (prefix.trim().toLowerCase() !== "basic") return [];
  const pair = Buffer.from(secret, "base64").toString();
  return [pair, pair.slice(pair.indexOf(":") + 1)].filter((each) => each !== "");
}

function cached(read: () => Promise<Key>): () => Promise<Key> {
  let held: { key: Key; until: number } | undefined;
  return async () => {
    if (held !== undefined && performance.now() < held.until) return held.key;
    const key = await read();
    held = { key, until: performance.now() + secretMs };
    return key;
  };
}

/** RFC 6750 §2.3 lets a token stand in the query, where an upstream may prefer it to ours; some read `;` as `&`. */
function refuseTokenInQuery({ target }: HttpRequest): void {
  const names = new URLSearchParams(target.replaceAll(/[?;]/g, "&")).keys();
  if (!names.some((name) => name.toLowerCase() === "access_token")) return;
  throw new SallyportError("request_invalid", "target: this route brings its own credential", {
    details: { layer: "auth", sent: false, fix: "leave access_token out of the query" },
  });
}

function redacted(response: HttpResponse, { blotter, inNames }: Blotters): HttpResponse {
  const coding = headerOf(response.headers, "content-encoding");
  if (coding !== undefined && coding.toLowerCase() !== "identity") {
    response.body.destroy();
    throw new SallyportError("upstream_failed", "upstream: its reply is coded and cannot be looked through", {
      details: { layer: "upstream", sent: true, fix: "let the upstream honour accept-encoding: identity" },
    });
  }
  const headers = response.headers.map(([name, value]) => [inNames.text(name), blotter.text(value)] as const);
  return { ...response, headers, body: pipeline(response.body, new Redaction(blotter), toldToReader) };
}

/** A reply that breaks off is destroyed with its error, which whoever reads it sees. */
const toldToReader = (): void => undefined;

function noSecret({ from }: RouteCredential): SallyportError {
  const place = "file" in from ? `file ${from.file}` : `environment variable ${from.env}`;
  return new SallyportError("upstream_failed", "the credential of this route cannot be read", {
    details: { layer: "auth", sent: false, fix: `put the secret into the ${place}` },
  });
}
