/** One connection to an upstream, to an address that was checked; Host and SNI stay the name. */
import { once } from "node:events";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import {
  checkServerIdentity,
  connect as connectTls,
  type ConnectionOptions,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { deadlineSignal, linkSignals } from "../../async/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import type { UpstreamAddress } from "../contract.ts";
import type { UpstreamGuard } from "./guard.ts";
import type { UpstreamTrust } from "./trust.ts";

export interface DialOptions {
  readonly guard: UpstreamGuard;
  readonly trust: UpstreamTrust;
  readonly signal: AbortSignal;
  /** For resolving, connecting and the TLS handshake together; 10 s by default */
  readonly connectMs?: number;
}

/**
 * A connected socket, through TLS for `https`, that the caller owns. Throws `upstream_address_denied` (layer `ip`),
 * `upstream_unreachable` (`ip`, `dial` or `upstream_tls`) or `certificate_invalid` (`upstream_tls`); nothing was sent then.
 */
export async function dialUpstream(upstream: UpstreamAddress, options: DialOptions): Promise<Socket> {
  const { host, port } = upstream;
  using deadline = deadlineSignal(options.connectMs ?? 10_000, `connecting to ${host}:${port}`);
  using linked = linkSignals(options.signal, deadline.signal);
  try {
    const addresses = await options.guard.check(host, linked.signal);
    return await dialFirst(upstream, addresses, { trust: options.trust, signal: linked.signal });
  } catch (error) {
    options.signal.throwIfAborted();
    if (isError(error) && !isError(error, "deadline_exceeded")) throw error;
    throw unreachable(upstream, "dial", error);
  }
}

type Connect = Pick<DialOptions, "trust" | "signal">;

/** The first address that answers. A failed handshake is the answer of that upstream; no other address is tried for it. */
async function dialFirst(
  upstream: UpstreamAddress,
  addresses: readonly string[],
  { trust, signal }: Connect,
): Promise<Socket> {
  let failure: unknown;
  for (const address of addresses) {
    const socket = connectTcp({ host: address, port: upstream.port, noDelay: true });
    try {
      await reached(socket, "connect", signal);
      return upstream.scheme === "http" ? socket : await secure(socket, upstream, { trust, signal });
    } catch (error) {
      if (signal.aborted || isError(error)) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function secure(
  socket: Socket,
  upstream: UpstreamAddress,
  { trust, signal }: Connect,
): Promise<TLSSocket> {
  if (trust === null) {
    socket.destroy();
    throw untrusted(upstream, "there is no trust anchor for https upstreams");
  }
  const secured = connectTls(tlsOptions(socket, upstream.host, trust));
  try {
    await reached(secured, "secureConnect", signal);
    return secured;
  } catch (error) {
    // Set once the handshake got as far as a certificate that is not believed
    if (secured.authorizationError != null) throw untrusted(upstream, (error as Error).message, error);
    throw unreachable(upstream, "upstream_tls", error);
  }
}

function tlsOptions(socket: Socket, host: string, secureContext: SecureContext): ConnectionOptions {
  return {
    socket,
    secureContext,
    ALPNProtocols: ["http/1.1"],
    // SNI carries names only, RFC 6066; the certificate must name the address all the same.
    ...(isIP(host) === 0 && { servername: host }),
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
  };
}

/** Resolves with `event`; destroys the socket otherwise. */
async function reached(
  socket: Socket,
  event: "connect" | "secureConnect",
  signal: AbortSignal,
): Promise<void> {
  try {
    await once(socket, event, { signal });
  } catch (error) {
    socket.on("error", () => undefined);
    socket.destroy();
    throw signal.aborted ? signal.reason : error;
  }
}

function unreachable(
  upstream: UpstreamAddress,
  layer: "dial" | "upstream_tls",
  cause: unknown,
): SallyportError {
  const { scheme, host, port } = upstream;
  const reason = reasonOf(cause);
  const fix =
    layer === "dial"
      ? "start the upstream, or correct its host and port"
      : "check that the upstream speaks TLS on this port, or write http:// in its route";
  return new SallyportError("upstream_unreachable", `${scheme}://${host}:${port}: ${reason}`, {
    details: { layer, host, fix },
    cause,
  });
}

function untrusted(upstream: UpstreamAddress, reason: string, cause?: unknown): SallyportError {
  return new SallyportError("certificate_invalid", `https://${upstream.host}:${upstream.port}: ${reason}`, {
    details: {
      layer: "upstream_tls",
      host: upstream.host,
      fix: "name the CA in upstream.tls.ca_file, or renew the upstream's certificate",
    },
    cause,
  });
}

/** OpenSSL's short reason where there is one; its whole message is a line of a log. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return "reason" in cause && typeof cause.reason === "string" ? cause.reason : cause.message;
}
