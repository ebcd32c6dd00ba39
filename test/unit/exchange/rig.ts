/** A face and a client over real loopback sockets. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import {
  createHttpClient,
  createHttpFace,
  type FaceDeps,
  type FaceOptions,
  type HttpClientOptions,
  type HttpRequest,
} from "../../../src/exchange/index.ts";
import { silentLog } from "../../../src/log.ts";

export interface Listening extends AsyncDisposable {
  readonly port: number;
  readonly server: Server;
}

/** A TCP listener whose connections are all cut when it goes. */
export async function listening(onSocket: (socket: Socket) => void): Promise<Listening> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
    onSocket(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    server,
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

export async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  socket.on("error", () => undefined);
  return socket;
}

export interface FaceRig extends AsyncDisposable {
  readonly port: number;
  readonly face: ReturnType<typeof createHttpFace<string>>;
}

export async function faceRig(
  deps: Omit<FaceDeps<string>, "log">,
  options: FaceOptions = {},
): Promise<FaceRig> {
  const face = createHttpFace<string>({ ...deps, log: silentLog() }, options);
  const door = await listening((socket) => face.serve(socket, "context"));
  return {
    port: door.port,
    face,
    [Symbol.asyncDispose]: async () => {
      await face[Symbol.asyncDispose]();
      await door[Symbol.asyncDispose]();
    },
  };
}

export function clientTo(
  port: number,
  options: Partial<HttpClientOptions> = {},
): ReturnType<typeof createHttpClient> {
  return createHttpClient({ connect: () => dial(port), ...options });
}

export function aRequest(over: Partial<HttpRequest> = {}): HttpRequest {
  return { id: "request-1", method: "GET", host: "docs.test", target: "/", headers: [], body: null, ...over };
}

export async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString("latin1");
}

/** Sends bytes as they are and resolves with everything that came back until the other side closed. */
export async function raw(port: number, ...pieces: readonly (string | Buffer)[]): Promise<string> {
  const socket = await dial(port);
  for (const piece of pieces) socket.write(piece);
  const text = await textOf(socket).catch(() => "");
  socket.destroy();
  return text;
}

/** Resolves with what `socket` received once that matches. */
export async function until(socket: Duplex, pattern: RegExp): Promise<string> {
  let seen = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    seen += (chunk as Buffer).toString("latin1");
    if (pattern.test(seen)) return seen;
  }
  throw new Error(`closed before ${pattern}: ${seen}`);
}
