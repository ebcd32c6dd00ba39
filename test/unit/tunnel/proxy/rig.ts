/** A tunnel with upstreams on loopback, its certificate, and callers that speak inner TLS to it. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, type Duplex, type Readable } from "node:stream";
import { connect } from "node:tls";
import { pino } from "pino";
import { createHttpClient, type HttpClient, type HttpRequest } from "../../../../src/exchange/index.ts";
import type { Log } from "../../../../src/log.ts";
import {
  createAuthority,
  forwardRemote,
  openTunnel,
  type CertifiedKey,
  type RemoteForward,
  type RouteSettings,
  type Tunnel,
  type TunnelConfig,
  type TunnelDeps,
} from "../../../../src/tunnel/index.ts";

export const domain = "t.test";

export const authority = createAuthority({ commonName: "tunnel", days: 10 });
export const serverKey: CertifiedKey = await authority.issueServerCertificate({
  domain,
  days: 5,
  key: "ecdsa-p256",
});

export interface Folder extends AsyncDisposable {
  readonly path: string;
}

export async function folder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), "sallyport-proxy-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

export interface Lines {
  readonly log: Log;
  readonly lines: Record<string, unknown>[];
  said(message: string): Record<string, unknown>[];
}

export function recordingLog(): Lines {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "debug", base: null },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  return { log, lines, said: (message) => lines.filter(({ msg }) => msg === message) };
}

export interface Settings {
  readonly routes: Readonly<Record<string, number | { host: string; port: number }>>;
  readonly settings?: Readonly<Record<string, Partial<RouteSettings>>>;
  readonly allowedIps?: readonly string[];
  readonly clientCaFile?: string;
}

const plain: RouteSettings = { credential: null, tools: null, pin: "off" };

export async function configIn(
  dir: Folder,
  given: Settings,
  key: CertifiedKey = serverKey,
): Promise<TunnelConfig> {
  const [certFile, keyFile] = [join(dir.path, "tls.crt"), join(dir.path, "tls.key")];
  await writeFile(certFile, key.certPem);
  await writeFile(keyFile, key.keyPem);
  return {
    file: join(dir.path, "config.yaml"),
    listen: null,
    logLevel: "info",
    shutdownTimeoutMs: 1_000,
    tunnelDomain: domain,
    tls: { certFile, keyFile },
    routes: new Map(
      Object.entries(given.routes).map(([name, target]) => [
        name,
        { scheme: "http", ...(typeof target === "number" ? { host: "127.0.0.1", port: target } : target) },
      ]),
    ),
    upstream: {
      allowedIps: given.allowedIps ?? ["127.0.0.1"],
      disableIpValidation: false,
      tls: { caFile: null, includeSystemCas: false },
    },
    settings: new Map(
      Object.entries(given.settings ?? {}).map(([name, own]) => [name, { ...plain, ...own }]),
    ),
    clientCaFile: given.clientCaFile ?? null,
    metrics: null,
  };
}

export interface Rig extends AsyncDisposable {
  readonly tunnel: Tunnel;
  readonly dir: Folder;
  readonly log: Lines;
  /** What `reload` reads next */
  next(given: Settings): Promise<void>;
}

export async function rig(
  given: Settings,
  deps: Partial<TunnelDeps> = {},
  key: CertifiedKey = serverKey,
): Promise<Rig> {
  const dir = await folder();
  const log = recordingLog();
  let config = await configIn(dir, given, key);
  const own: TunnelDeps = {
    log: log.log,
    readConfig: async () => config,
    readSecret: async () => "s3cret-canary",
    connector: "one",
    ...deps,
    limits: { responseHeaderMs: 150, probeMs: 60_000, certificateMs: 10, ...deps.limits },
  };
  const tunnel = await openTunnel(own, config);
  return {
    tunnel,
    dir,
    log,
    next: async (changed) => void (config = await configIn(dir, changed, key)),
    [Symbol.asyncDispose]: async () => {
      await tunnel[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

/** The end of a byte stream whose other end the tunnel serves. */
export function byteStreamTo(tunnel: Tunnel, peer = "caller"): Duplex {
  const [mine, theirs] = duplexPair();
  mine.on("error", () => undefined);
  // a pair in memory does not tell its other end that it was destroyed; a stream that carries bytes does
  mine.once("close", () => theirs.destroy());
  theirs.once("close", () => mine.destroy());
  tunnel.serve(theirs, { peer });
  return mine;
}

/** A caller over inner TLS that is told of failures by status, as one from outside is. */
export function callerOf(tunnel: Tunnel): HttpClient {
  return createHttpClient({
    connect: async (_signal, { host }) => {
      const socket = connect({ socket: byteStreamTo(tunnel), servername: host, ca: authority.certPem });
      await once(socket, "secureConnect");
      return socket;
    },
  });
}

/** A caller as a worker's gateway is one. */
export function remoteTo(tunnel: Tunnel, caPem = authority.certPem): RemoteForward {
  return forwardRemote({ remote: { open: async () => byteStreamTo(tunnel) }, caPem });
}

export function aRequest(over: Partial<HttpRequest> = {}): HttpRequest {
  return {
    id: "request-1",
    method: "GET",
    host: `docs.${domain}`,
    target: "/mcp",
    headers: [],
    body: null,
    ...over,
  };
}

export async function textOf(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString("utf8");
}

export const live = (): AbortSignal => new AbortController().signal;
