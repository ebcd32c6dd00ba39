/** A way to the engine that writes down every call and passes it on unchanged, unless a test has it refused or lost. */
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { joinSockets, openDoor, type EngineDoor } from "./engine-way.ts";

export interface EngineCall {
  method: string;
  /** Without the API version and the query */
  path: string;
  query: string;
  body: string;
}

const socketPath = (process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock").replace(/^unix:\/\//, "");
const bodyBytes = 256 * 1024;

export class RecordingEngine implements AsyncDisposable {
  readonly calls: EngineCall[] = [];
  /** What the engine says of its failure to answer this call, which then does not reach it; undefined passes it on */
  refusal: (call: EngineCall) => string | undefined = () => undefined;
  /** Whether this call, which then does not reach the engine, is never answered */
  loss: (call: EngineCall) => boolean = () => false;
  readonly address: string;
  readonly #door: EngineDoor;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, door: EngineDoor) {
    this.#server = server;
    this.#door = door;
    this.address = door.address;
    server.on("request", (near, answer) => this.#pass(near, answer));
    server.on("upgrade", (near: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#hijack(near, socket, head),
    );
  }

  static async start(): Promise<RecordingEngine> {
    const server = createServer();
    return new RecordingEngine(server, await openDoor(server));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections();
    await this.#door[Symbol.asyncDispose]();
  }

  #note(near: IncomingMessage): EngineCall {
    const url = new URL(near.url ?? "/", "http://engine");
    const path = url.pathname.replace(/^\/v1\.\d+/, "");
    const call = { method: near.method ?? "", path, query: url.search, body: "" };
    this.calls.push(call);
    return call;
  }

  #pass(near: IncomingMessage, answer: ServerResponse): void {
    const call = this.#note(near);
    if (this.loss(call)) return;
    const message = this.refusal(call);
    if (message !== undefined) {
      near.resume();
      answer.writeHead(500, { "content-type": "application/json" }).end(JSON.stringify({ message }));
      return;
    }
    near.on("data", (chunk: Buffer) => {
      if (call.body.length < bodyBytes) call.body += chunk.toString("utf8");
    });
    const { method, url, headers } = near;
    const far = request({ socketPath, method: method ?? "GET", path: url ?? "/", headers }, (reply) => {
      answer.writeHead(reply.statusCode ?? 500, reply.headers);
      answer.flushHeaders();
      reply.on("error", () => answer.destroy());
      reply.pipe(answer);
    });
    far.on("error", () => answer.destroy());
    answer.on("close", () => far.destroy());
    near.pipe(far);
  }

  #hijack(near: IncomingMessage, socket: Socket, head: Buffer): void {
    if (this.loss(this.#note(near))) return void this.#sockets.add(socket);
    const far = connect(socketPath);
    const lines = near.rawHeaders.flatMap((_, at, all) =>
      at % 2 === 0 ? [`${all[at]}: ${all[at + 1]}`] : [],
    );
    const top = [`${near.method} ${near.url} HTTP/1.1`, ...lines, "", ""].join("\r\n");
    // in one piece: the engine hands everything it has not read yet at the moment of the switch to the container
    far.write(Buffer.concat([Buffer.from(top), head]));
    joinSockets(socket, far, this.#sockets);
  }
}
