/** Ends a caller's inner TLS on a byte stream. */
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { withDeadline } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import { admits, type ServerIdentity } from "./identity.ts";

export interface EndedTls {
  readonly bytes: TLSSocket;
  /** Lower case; null where the caller named none */
  readonly sni: string | null;
}

/** Throws `certificate_invalid`, `deadline_exceeded` or `protocol_violation`; `bytes` are cut then. */
export async function endTls(
  bytes: Duplex,
  identity: ServerIdentity,
  handshakeMs: number,
): Promise<EndedTls> {
  const asks = identity.clientCas !== null;
  const socket = new TLSSocket(bytes, {
    isServer: true,
    secureContext: identity.context,
    requestCert: asks,
    rejectUnauthorized: asks,
    ALPNProtocols: ["http/1.1"],
  });
  socket.once("close", () => bytes.destroy());
  bytes.once("close", () => socket.destroy());
  try {
    await withDeadline(handshake(socket, bytes), handshakeMs, "the TLS handshake");
    if (!admits(identity, socket.getPeerX509Certificate())) throw strange();
    const { servername } = socket as { servername?: string | false };
    return { bytes: socket, sni: typeof servername === "string" ? servername.toLowerCase() : null };
  } catch (error) {
    socket.on("error", () => undefined);
    socket.destroy();
    bytes.destroy();
    throw error;
  }
}

function handshake(socket: TLSSocket, bytes: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void => reject(failed(cause));
    socket.once("secure", resolve);
    socket.on("error", fail);
    socket.on("_tlsError", fail);
    bytes.on("error", fail);
    bytes.once("close", () => fail(new Error("the caller went away")));
  });
}

/** Alerts that operators know from the documented proxy. */
const alerts: Record<string, string> = {
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "unknown certificate authority",
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: "bad certificate",
  ERR_SSL_TLS_ALERT_BAD_CERTIFICATE: "bad certificate",
};

function failed(cause: Error & { code?: string }): SallyportError {
  const reason = alerts[cause.code ?? ""] ?? cause.message;
  return new SallyportError("protocol_violation", `tls handshake failed: ${reason}`, {
    details: { layer: "inner_tls", reason },
    cause,
  });
}

function strange(): SallyportError {
  const reason = "the caller's certificate is not signed by client_ca_file";
  return new SallyportError("certificate_invalid", `tls handshake failed: ${reason}`, {
    details: { layer: "inner_tls", reason },
  });
}
