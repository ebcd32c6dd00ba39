/** The way to routes of other connectors: inner TLS to their proxy over byte streams that others carry and cannot read. */
import { readFile } from "node:fs/promises";
import { SallyportError } from "../../errors.ts";
import { createHttpClient, unlessFailure, type Forward, type HttpClient } from "../../exchange/index.ts";
import type { RemoteWay } from "../contract.ts";
import { beginTls } from "./tls-client.ts";

export interface RemoteDeps {
  readonly remote: Pick<RemoteWay, "open">;
  /** Files with the CA certificates of tunnels, PEM; read again for every new connection */
  readonly caFiles?: readonly string[];
  /** The same as text */
  readonly caPem?: string;
}

/** Disposing it cuts every connection. */
export interface RemoteForward extends AsyncDisposable {
  /** What the proxy failed with is thrown as it was there: to a caller, the remote way is as the local one. */
  readonly forward: Forward;
}

/** Hosts whose connections are kept; one that was not used for the longest time makes room */
const maxHosts = 256;

export function forwardRemote(deps: RemoteDeps): RemoteForward {
  const clients = new Map<string, HttpClient>();
  const clientFor = (host: string): HttpClient => {
    const client = clients.get(host) ?? clientTo(host, deps);
    clients.delete(host);
    clients.set(host, client);
    dropIdle(clients);
    return client;
  };
  return {
    forward: async (request, signal) =>
      await unlessFailure(await clientFor(request.host).forward(request, signal)),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...clients.values()].map((client) => client[Symbol.asyncDispose]()));
    },
  };
}

function dropIdle(clients: Map<string, HttpClient>): void {
  for (const [host, client] of clients) {
    if (clients.size <= maxHosts) return;
    if (client.active > 0) continue;
    clients.delete(host);
    void client[Symbol.asyncDispose]();
  }
}

function clientTo(host: string, deps: RemoteDeps): HttpClient {
  return createHttpClient({
    layer: "edge",
    idleMs: 20_000,
    responseHeaderMs: 150_000,
    connect: async (signal, request) => {
      const ca = await anchors(deps, host);
      const bytes = await deps.remote.open({ host, requestId: request.id }, signal);
      return await beginTls(bytes, { host, trust: { ca }, signal });
    },
  });
}

async function anchors({ caFiles = [], caPem }: RemoteDeps, host: string): Promise<string[]> {
  const read = await Promise.all(caFiles.map((file) => readAnchor(file, host)));
  const all = caPem === undefined ? read : [...read, caPem];
  if (all.length === 0) throw untrusted(host, "no CA of a tunnel is named");
  return all;
}

async function readAnchor(file: string, host: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw untrusted(host, (error as Error).message, error);
  }
}

function untrusted(host: string, reason: string, cause?: unknown): SallyportError {
  return new SallyportError("certificate_invalid", `inner TLS with ${host}: ${reason}`, {
    details: {
      layer: "inner_tls",
      host,
      sent: false,
      fix: "name the file with the tunnel's CA certificate (ca.crt of `sallyport certs init`)",
    },
    cause,
  });
}
