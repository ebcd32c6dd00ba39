/** The two ends of a channel, over memory or over a real WebSocket on loopback. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { deferred } from "../../src/async/index.ts";
import {
  ChannelAcceptor,
  dialChannel,
  memoryChannelPair,
  type Channel,
  type Dialect,
} from "../../src/channel/index.ts";
import { silentLog } from "../../src/log.ts";

interface Ends<AIn, AAccept, BIn, BAccept> extends AsyncDisposable {
  /** the dialler */
  a: Channel<BIn, AIn, BAccept, AAccept>;
  b: Channel<AIn, BIn, AAccept, BAccept>;
}

export function memoryEnds<AIn, AAccept, BIn, BAccept>(
  dialectA: Dialect<AIn, AAccept>,
  dialectB: Dialect<BIn, BAccept>,
): Promise<Ends<AIn, AAccept, BIn, BAccept>> {
  const { a, b } = memoryChannelPair(dialectA, dialectB);
  return Promise.resolve({ a, b, [Symbol.asyncDispose]: () => closeBoth(a, b) });
}

export async function wsEnds<AIn, AAccept, BIn, BAccept>(
  dialectA: Dialect<AIn, AAccept>,
  dialectB: Dialect<BIn, BAccept>,
): Promise<Ends<AIn, AAccept, BIn, BAccept>> {
  const server = createServer();
  const accepted = deferred<Channel<AIn, BIn, AAccept, BAccept>>();
  const acceptor = new ChannelAcceptor<null, AIn, BIn, AAccept, BAccept>({
    server,
    dialect: dialectB,
    log: silentLog(),
    authorize: () => Promise.resolve(null),
    onChannel: (channel) => accepted.resolve(channel),
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const a = await dialChannel<BIn, AIn, BAccept, AAccept>({
    url: `http://127.0.0.1:${port}`,
    token: "secret",
    dialect: dialectA,
    log: silentLog(),
  });
  const b = await accepted.promise;
  return {
    a,
    b,
    async [Symbol.asyncDispose]() {
      await closeBoth(a, b);
      await acceptor[Symbol.asyncDispose]();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

async function closeBoth(a: AsyncDisposable, b: AsyncDisposable): Promise<void> {
  await a[Symbol.asyncDispose]();
  await b[Symbol.asyncDispose]();
}
