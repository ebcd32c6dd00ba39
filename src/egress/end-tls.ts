/** Ends a program's TLS with a certificate for whatever host it asks for, so that a refusal can be told in HTTP. */
import type { Duplex } from "node:stream";
import { TLSSocket, type SecureContext } from "node:tls";
import { deferred } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import { canonicalHost } from "../tunnel/index.ts";

export interface EndedTls {
  readonly bytes: Duplex;
  /** Canonical */
  readonly sni: string;
}

/** Throws `certificate_invalid` when the handshake fails, such as for a missing or unusual server name; `bytes` are destroyed then. */
export async function endTls(
  bytes: Duplex,
  contextFor: (host: string) => SecureContext,
  handshakeMs: number,
): Promise<EndedTls> {
  const done = deferred<EndedTls>();
  let sni: string | undefined;
  const socket = new TLSSocket(bytes, {
    isServer: true,
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.2",
    SNICallback: (name, answer) => {
      sni = canonicalHost(name);
      if (sni === undefined) return answer(failed("unusual server name"));
      try {
        answer(null, contextFor(sni));
      } catch (error) {
        answer(SallyportError.from(error));
      }
    },
  });
  const timer = setTimeout(() => socket.destroy(failed("it took too long")), handshakeMs);
  socket.on("error", (error) => done.reject(failed(error.message, error)));
  socket.once("close", () => done.reject(failed("the connection ended")));
  socket.once("secure", () => {
    if (sni === undefined) socket.destroy(failed("no server name"));
    else done.resolve({ bytes: socket, sni });
  });
  try {
    return await done.promise;
  } catch (error) {
    socket.destroy();
    bytes.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

const failed = (why: string, cause?: unknown): SallyportError =>
  new SallyportError("certificate_invalid", `TLS handshake: ${why}`, {
    details: { layer: "inner_tls" },
    cause,
  });
