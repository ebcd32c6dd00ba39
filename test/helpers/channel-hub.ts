/** A bare hub's end of channels that carry any JSON, and how to dial it. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { deferred, type Deferred } from "../../src/async/index.ts";
import { ChannelAcceptor, dialChannel, type Channel, type Dialect } from "../../src/channel/index.ts";
import { silentLog, type Log } from "../../src/log.ts";

export type Json = Record<string, unknown>;
export type AnyChannel = Channel<Json, Json, Json, Json>;
export const dialect: Dialect<Json, Json> = {
  message: (json) => json as Json,
  stream: (json) => json as Json,
};
export const nothing = (): void => undefined;
export const deaf = { message: nothing, stream: nothing };

interface HubOptions {
  authorize?: (request: IncomingMessage) => Promise<string>;
  onChannel?: (channel: AnyChannel) => void;
  maxHandshakes?: number;
  handshakeMs?: number;
  keepalive?: { pingMs: number; silenceMs: number };
  log?: Log;
}

export interface Hub extends AsyncDisposable {
  url: string;
  port: number;
  server: Server;
  acceptor: ChannelAcceptor<string, Json, Json, Json, Json>;
  accepted: Deferred<AnyChannel>;
}

export async function startHub(options: HubOptions = {}): Promise<Hub> {
  const server = createServer();
  const accepted = deferred<AnyChannel>();
  const acceptor = new ChannelAcceptor<string, Json, Json, Json, Json>(
    {
      server,
      dialect,
      log: options.log ?? silentLog(),
      authorize: options.authorize ?? (() => Promise.resolve("worker")),
      onChannel: (channel) => {
        options.onChannel?.(channel);
        accepted.resolve(channel);
      },
    },
    options,
  );
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    acceptor,
    accepted,
    async [Symbol.asyncDispose]() {
      await acceptor[Symbol.asyncDispose]();
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

export const dial = (
  url: string,
  more: { token?: string; log?: Log; signal?: AbortSignal } = {},
): Promise<AnyChannel> =>
  dialChannel({ url, token: "secret", dialect, log: silentLog(), timeoutMs: 5_000, ...more });
