/** Begins inner TLS towards a proxy, on a byte stream that others carry. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { deadlineSignal, linkSignals } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";

export interface TlsClientOptions {
  readonly host: string;
  /** Whom to believe, and who we are where that is asked for */
  readonly trust: Pick<ConnectionOptions, "ca" | "cert" | "key" | "rejectUnauthorized">;
  readonly signal: AbortSignal;
  /** 10 s by default */
  readonly handshakeMs?: number;
}

/** Throws `certificate_invalid` or `route_unavailable` of layer `inner_tls`; `bytes` are cut then, and nothing was sent. */
export async function beginTls(bytes: Duplex, options: TlsClientOptions): Promise<TLSSocket> {
  const { host, trust } = options;
  using deadline = deadlineSignal(options.handshakeMs ?? 10_000, `the TLS handshake with ${host}`);
  using linked = linkSignals(options.signal, deadline.signal);
  const socket = connect({ socket: bytes, servername: host, ALPNProtocols: ["http/1.1"], ...trust });
  bytes.on("error", () => undefined);
  socket.once("close", () => bytes.destroy());
  bytes.once("close", () => socket.destroy());
  try {
    await Promise.race([
      once(socket, "secureConnect", { signal: linked.signal }),
      once(socket, "close", { signal: linked.signal }).then(() => Promise.reject(new Error("it was cut"))),
    ]);
    return socket;
  } catch (error) {
    socket.on("error", () => undefined);
    socket.destroy();
    bytes.destroy();
    options.signal.throwIfAborted();
    throw failure(host, socket, linked.signal.aborted ? linked.signal.reason : error);
  }
}

function failure(host: string, socket: TLSSocket, cause: unknown): SallyportError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const isUntrusted = socket.authorizationError != null;
  const fix = isUntrusted
    ? "name the CA of the tunnel, or renew the certificate of its proxy with `sallyport certs renew`"
    : "look at the log of the proxy: `tls handshake failed` says why";
  return new SallyportError(
    isUntrusted ? "certificate_invalid" : "route_unavailable",
    `inner TLS with ${host}: ${reason}`,
    { details: { layer: "inner_tls", host, sent: false, fix }, cause },
  );
}
