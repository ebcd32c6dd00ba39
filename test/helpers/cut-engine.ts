/** A way to the engine that a test closes and opens again. */
import { createServer, type Server, type Socket } from "node:net";
import * as docker from "./docker.ts";
import { joinSockets, openDoor, type EngineDoor } from "./engine-way.ts";

/** A way to the engine that can be cut, as a restart of the engine cuts it. */
export class CutEngine implements AsyncDisposable {
  readonly address: string;
  readonly #door: EngineDoor;
  readonly #sockets = new Set<Socket>();
  #open = true;

  private constructor(server: Server, door: EngineDoor) {
    this.#door = door;
    this.address = door.address;
    server.on("connection", (near) => this.#join(near));
  }

  static async start(): Promise<CutEngine> {
    const server = createServer();
    return new CutEngine(server, await openDoor(server));
  }

  cut(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  heal(): void {
    this.#open = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await this.#door[Symbol.asyncDispose]();
  }

  #join(near: Socket): void {
    if (this.#open) joinSockets(near, docker.connectEngine(), this.#sockets);
    else near.destroy();
  }
}
