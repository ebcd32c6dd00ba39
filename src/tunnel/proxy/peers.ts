/** The way to the other connectors of the same tunnel: they hold the same TLS key, by which each knows the other. */
import { X509Certificate } from "node:crypto";
import { SallyportError } from "../../errors.ts";
import { createHttpClient, type Forward, type HttpClient } from "../../exchange/index.ts";
import type { RemoteWay } from "../contract.ts";
import { keyDigestOf, type ServerIdentity } from "./identity.ts";
import { beginTls } from "./tls-client.ts";

export interface PeersDeps {
  readonly open: RemoteWay["open"];
  identity(): ServerIdentity | null;
}

/** Connections that are kept at once, by connector and host */
const maxPeers = 64;

/** Disposing it cuts every connection. */
export class Peers implements AsyncDisposable {
  readonly #deps: PeersDeps;
  readonly #clients = new Map<string, HttpClient>();

  constructor(deps: PeersDeps) {
    this.#deps = deps;
  }

  /** Throws what `open` throws, and `certificate_invalid` where another than a connector of this tunnel answers. */
  to(connector: string): Forward {
    return (request, signal) => this.#client(connector, request.host).forward(request, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client[Symbol.asyncDispose]()));
  }

  #client(connector: string, host: string): HttpClient {
    const key = `${connector} ${host}`;
    const client = this.#clients.get(key) ?? this.#connectTo(connector, host);
    this.#clients.delete(key);
    this.#clients.set(key, client);
    this.#dropIdle();
    return client;
  }

  #dropIdle(): void {
    for (const [key, client] of this.#clients) {
      if (this.#clients.size <= maxPeers) return;
      if (client.active > 0) continue;
      this.#clients.delete(key);
      void client[Symbol.asyncDispose]();
    }
  }

  #connectTo(connector: string, host: string): HttpClient {
    return createHttpClient({
      layer: "edge",
      idleMs: 20_000,
      connect: async (signal, request) => {
        const identity = this.#deps.identity();
        if (identity === null) throw stranger(host);
        const bytes = await this.#deps.open({ host, connector, requestId: request.id }, signal);
        const trust = { rejectUnauthorized: false, cert: identity.certPem, key: identity.keyPem };
        const socket = await beginTls(bytes, { host, trust, signal });
        const shown = socket.getPeerX509Certificate();
        if (shown !== undefined && isOwnKey(shown, identity)) return socket;
        socket.destroy();
        throw stranger(host);
      },
    });
  }
}

const isOwnKey = (shown: X509Certificate, identity: ServerIdentity): boolean =>
  keyDigestOf(shown) === identity.keyDigest;

function stranger(host: string): SallyportError {
  return new SallyportError("certificate_invalid", `the other connector of ${host} has another TLS key`, {
    details: {
      layer: "inner_tls",
      sent: false,
      fix: "give every connector of one tunnel the same tls.crt and tls.key",
    },
  });
}
