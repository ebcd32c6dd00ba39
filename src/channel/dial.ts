import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { WebSocket, type ClientOptions } from "ws";
import { abortable, deadlineSignal, deferred, linkSignals } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import { connectPath, subprotocol } from "../protocol/index.ts";
import type { Channel, Dialect } from "./contract.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import { LiveChannel } from "./live-channel.ts";
import { readRefusal } from "./refusal.ts";
import { wsLimits, WsTransport } from "./ws-transport.ts";

export interface DialOptions<In, Accept> {
  /** the hub's address, `http`, `https`, `ws` or `wss` */
  url: string;
  token: string;
  dialect: Dialect<In, Accept>;
  log: Log;
  signal?: AbortSignal | undefined;
  keepalive?: KeepaliveOptions | undefined;
  /** certificate authorities in PEM to trust instead of the built-in ones */
  ca?: string | undefined;
  /** from the first packet to the open channel, `ms`; 10 s by default */
  timeoutMs?: number | undefined;
}

/**
 * Opens a channel to the hub. Throws what the hub refused it with (`unauthenticated`, `scope_missing`, `origin_denied`,
 * `protocol_unsupported`, `hub_draining`, …), `hub_unreachable` when it did not answer, `config_invalid` for a useless address or token.
 */
export async function dialChannel<Out, In, Open, Accept>(
  options: DialOptions<In, Accept>,
): Promise<Channel<Out, In, Open, Accept>> {
  const url = channelUrl(options.url);
  options.signal?.throwIfAborted();
  using deadline = deadlineSignal(options.timeoutMs ?? 10_000, `connecting to ${url.origin}`);
  using both = linkSignals(options.signal, deadline.signal);
  const ws = new WebSocket(url, subprotocol, clientOptions(url, options));
  try {
    return await abortable(
      opened(ws, url, (transport) => {
        const { dialect, log, keepalive } = options;
        return new LiveChannel<Out, In, Open, Accept>(
          { transport, dialect, log },
          { side: "dialler", keepalive },
        );
      }),
      both.signal,
    );
  } catch (error) {
    ws.terminate();
    if (error !== deadline.signal.reason) throw error;
    throw unreachable(url, "it did not answer in time", error);
  }
}

/** Throws `config_invalid`. */
function channelUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const schemes: Record<string, string> = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" };
  const scheme = url === undefined ? undefined : schemes[url.protocol];
  if (url === undefined || scheme === undefined || url.username !== "" || url.password !== "") {
    throw new SallyportError("config_invalid", `hub: ${JSON.stringify(text)} is not the address of a hub`, {
      details: { field: "hub", fix: "write it as https://HOST[:PORT], without a user name" },
    });
  }
  const path = url.pathname.replace(/\/+$/, "");
  const target = new URL(path.endsWith(connectPath) ? path : `${path}${connectPath}`, url);
  target.protocol = scheme;
  return target;
}

function clientOptions(url: URL, options: DialOptions<unknown, unknown>): ClientOptions {
  if (!/^[\x21-\x7e]+$/.test(options.token)) {
    throw new SallyportError("config_invalid", "token: is empty or holds characters a header cannot carry", {
      details: { field: "token", fix: "give the token exactly as the hub printed it" },
    });
  }
  const client: ClientOptions = { ...wsLimits, headers: { authorization: `Bearer ${options.token}` } };
  if (options.ca !== undefined) client.ca = options.ca;
  if (!passesProxies(url)) client.generateMask = (mask) => mask.fill(0);
  return client;
}

/**
 * Masking keeps what a sandbox printed from posing as HTTP to a proxy that reads along. Inside TLS and on loopback none can,
 * and the zero mask spares both ends a pass over every byte. https://www.rfc-editor.org/rfc/rfc6455#section-10.3
 */
function passesProxies(url: URL): boolean {
  return url.protocol === "ws:" && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
}

/** What is made of the transport is made in the turn the connection opens, so that no message finds nobody there. */
function opened<T>(ws: WebSocket, url: URL, make: (transport: WsTransport) => T): Promise<T> {
  const result = deferred<T>();
  let socket: Socket | undefined;
  ws.once("upgrade", (response: IncomingMessage) => {
    socket = response.socket;
  });
  ws.once("unexpected-response", (_request, response: IncomingMessage) => {
    void readRefusal(response, url).then((refusal) => result.reject(refusal));
  });
  ws.on("error", (error: Error) => result.reject(errorOfDial(error, url)));
  ws.once("open", () => {
    ws.removeAllListeners();
    if (socket !== undefined) result.resolve(make(new WsTransport(ws, socket)));
  });
  return result.promise;
}

/** Errors of the network and of TLS have a code; those of the handshake have none. */
function errorOfDial(error: Error, url: URL): SallyportError {
  if ("code" in error && typeof error.code === "string") return unreachable(url, error.code, error);
  return new SallyportError("protocol_unsupported", `${url.origin} does not speak ${subprotocol}`, {
    details: { url: url.href, fix: "check that the address is that of a hub of this version" },
    cause: error,
  });
}

function unreachable(url: URL, reason: string, cause: unknown): SallyportError {
  const isTls = /CERT|TLS|SSL|VERIFY/.test(reason);
  const fix = isTls
    ? "give the certificate authority that signed the hub's certificate"
    : "check the address, that the hub runs, and that this host may reach it";
  return new SallyportError("hub_unreachable", `cannot reach the hub at ${url.origin}: ${reason}`, {
    details: { url: url.href, reason, fix },
    cause,
  });
}
