/** An HTTP upstream on loopback that remembers what reached it. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcp, type AddressInfo, type Server, type Socket } from "node:net";

export interface Upstream extends AsyncDisposable {
  readonly port: number;
  readonly requests: {
    readonly method: string;
    readonly url: string;
    readonly headers: string[];
    readonly body: string;
  }[];
}

type Answer = (message: IncomingMessage, reply: ServerResponse, body: string) => void;

export async function upstream(
  answer: Answer = (_message, reply) => void reply.end("ok"),
): Promise<Upstream> {
  const requests: Upstream["requests"] = [];
  const server = createServer((message, reply) => {
    const chunks: Buffer[] = [];
    message.on("data", (chunk: Buffer) => chunks.push(chunk));
    message.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      requests.push({
        method: message.method ?? "",
        url: message.url ?? "",
        headers: message.rawHeaders,
        body,
      });
      answer(message, reply, body);
    });
  });
  return {
    requests,
    port: await listen(server),
    [Symbol.asyncDispose]: () => stop(server, () => server.closeAllConnections()),
  };
}

export interface RawUpstream extends AsyncDisposable {
  readonly port: number;
  /** Connections that were made */
  readonly connections: number;
  /** Those on which bytes came: a probe sends none */
  readonly asked: number;
}

/** Does with each connection what it likes once bytes came. */
export async function rawUpstream(answer: (socket: Socket) => void): Promise<RawUpstream> {
  const sockets = new Set<Socket>();
  let [connections, asked] = [0, 0];
  const server = createTcp((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => {
      asked += 1;
      answer(socket);
    });
  });
  const port = await listen(server);
  return {
    port,
    get connections() {
      return connections;
    },
    get asked() {
      return asked;
    },
    [Symbol.asyncDispose]: () => stop(server, () => sockets.forEach((socket) => socket.destroy())),
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function stop(server: Server, cut: () => void): Promise<void> {
  const closed = once(server, "close");
  server.close();
  cut();
  await closed;
}

export function valuesOf(headers: readonly string[], name: string): string[] {
  return headers.filter((_value, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name);
}
