/** A way to the engine that loses a request and has it carried out all the same. */
import { createServer, type Server, type Socket } from "node:net";
import * as docker from "./docker.ts";
import { openDoor, type EngineDoor } from "./engine-way.ts";

/** A way to the engine on which one creation is answered with a closed connection, and carried out only later. */
export class LateEngine implements AsyncDisposable {
  readonly address: string;
  readonly #door: EngineDoor;
  /** The status line of the engine's answer to the lost creation */
  readonly made = Promise.withResolvers<string>();
  #lost = false;

  private constructor(server: Server, door: EngineDoor) {
    this.#door = door;
    this.address = door.address;
    server.on("connection", (near) => this.#join(near));
  }

  static async start(): Promise<LateEngine> {
    const server = createServer();
    return new LateEngine(server, await openDoor(server));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#door[Symbol.asyncDispose]();
  }

  #join(near: Socket): void {
    const far = docker.connectEngine();
    far.on("error", () => near.destroy()).pipe(near);
    near.on("error", () => far.destroy());
    let request: Buffer[] | undefined;
    near.on("data", (chunk: Buffer) => {
      if (request === undefined && !this.#lost && /^POST \S*\/containers\/create/.test(chunk.toString())) {
        this.#lost = true;
        request = [];
        setTimeout(() => near.destroy(), 100);
        setTimeout(() => far.write(Buffer.concat(request ?? [])), 1_000);
        far.once("data", (answer: Buffer) => {
          this.made.resolve(answer.toString().split("\r\n", 1)[0] ?? "");
          far.destroy();
        });
      }
      if (request === undefined) far.write(chunk);
      else request.push(chunk);
    });
    near.on("close", () => {
      if (request === undefined) far.destroy();
      else far.resume();
    });
  }
}
