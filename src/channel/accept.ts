import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { withDeadline } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import { connectPath, subprotocol } from "../protocol/index.ts";
import { outward } from "./close-codes.ts";
import type { Channel, Dialect } from "./contract.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import { LiveChannel } from "./live-channel.ts";
import { writeRefusal } from "./refusal.ts";
import { wsLimits, WsTransport } from "./ws-transport.ts";

export interface ChannelAcceptorDeps<Principal, Out, In, Open, Accept> {
  /** an HTTP or HTTPS server; the acceptor takes over its upgrades */
  server: Server;
  dialect: Dialect<In, Accept>;
  log: Log;
  /** Says who asks; its `SallyportError` is the HTTP reply. */
  authorize(request: IncomingMessage): Promise<Principal>;
  /** Gets each channel in the turn it opens; what arrives is held until `listen`. */
  onChannel(channel: Channel<Out, In, Open, Accept>, principal: Principal): void;
}

export interface ChannelAcceptorOptions {
  keepalive?: KeepaliveOptions;
  /** callers that may wait for `authorize` at once; 64 by default */
  maxHandshakes?: number;
  /** time `authorize` has, `ms`; 5 s by default */
  handshakeMs?: number;
}

/** Turns upgrades of a server into channels. Disposing it closes them all with `shutting_down`. */
export class ChannelAcceptor<Principal, Out, In, Open, Accept> implements AsyncDisposable {
  readonly #deps: ChannelAcceptorDeps<Principal, Out, In, Open, Accept>;
  readonly #options: ChannelAcceptorOptions;
  readonly #wss = new WebSocketServer({
    ...wsLimits,
    noServer: true,
    clientTracking: false,
    handleProtocols: () => subprotocol,
  });
  readonly #channels = new Set<LiveChannel<Out, In, Open, Accept>>();
  readonly #handshakes = new Set<Duplex>();
  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    void this.#handshake(request, socket, head);
  };
  #disposed = false;

  constructor(
    deps: ChannelAcceptorDeps<Principal, Out, In, Open, Accept>,
    options: ChannelAcceptorOptions = {},
  ) {
    this.#deps = deps;
    this.#options = options;
    deps.server.on("upgrade", this.#onUpgrade);
  }

  /** channels open at the moment */
  get size(): number {
    return this.#channels.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#deps.server.off("upgrade", this.#onUpgrade);
    for (const socket of this.#handshakes) socket.destroy();
    const reason = new SallyportError("shutting_down", "the hub stops");
    await Promise.all([...this.#channels].map((channel) => channel.close(reason)));
    this.#wss.close();
  }

  async #handshake(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const ignore = (): void => undefined;
    socket.on("error", ignore);
    try {
      this.#check(request);
      this.#handshakes.add(socket);
      const { handshakeMs = 5_000 } = this.#options;
      const principal = await withDeadline(this.#deps.authorize(request), handshakeMs, "authorizing");
      if (this.#disposed || socket.destroyed) return;
      this.#wss.handleUpgrade(request, socket, head, (ws) => this.#accept(ws, request.socket, principal));
    } catch (error) {
      const refusal = outward(error);
      const from = request.socket.remoteAddress;
      if (refusal.code === "internal") this.#deps.log.error({ from, err: error }, "channel handshake failed");
      else this.#deps.log.info({ from, code: refusal.code }, "channel refused");
      writeRefusal(socket, refusal);
    } finally {
      this.#handshakes.delete(socket);
    }
  }

  #accept(ws: WebSocket, socket: Socket, principal: Principal): void {
    const { dialect, log } = this.#deps;
    const transport = new WsTransport(ws, socket);
    const channel = new LiveChannel<Out, In, Open, Accept>(
      { transport, dialect, log },
      { side: "acceptor", keepalive: this.#options.keepalive },
    );
    this.#channels.add(channel);
    void channel.closed.then(() => this.#channels.delete(channel));
    try {
      this.#deps.onChannel(channel, principal);
    } catch (error) {
      log.error({ from: channel.peer, err: error }, "channel owner failed");
      void channel.close(outward(error));
    }
  }

  /** Throws why this upgrade cannot become a channel, before anyone is asked who sent it. */
  #check(request: IncomingMessage): void {
    const path = (request.url ?? "").split("?", 1)[0];
    if (path !== connectPath) {
      throw new SallyportError("path_unknown", "nothing can be upgraded here", {
        details: { fix: `connect to ${connectPath}` },
      });
    }
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
    if (!offered.includes(subprotocol)) {
      throw new SallyportError("protocol_unsupported", `this hub speaks ${subprotocol}`, {
        details: { known: [subprotocol], fix: "use a worker of the same major version" },
      });
    }
    if (this.#handshakes.size >= (this.#options.maxHandshakes ?? 64)) {
      throw new SallyportError("capacity_exhausted", "too many callers are waiting to be let in");
    }
  }
}
