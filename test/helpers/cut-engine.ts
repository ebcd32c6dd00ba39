/** A way to the engine that a test closes and opens again. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as docker from "./docker.ts";

/** A way to the engine that can be cut, as a restart of the engine cuts it. */
export class CutEngine implements AsyncDisposable {
  readonly #folder: string;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((near) => this.#join(near));
  #open = true;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<CutEngine> {
    const cut = new CutEngine(await mkdtemp(join(tmpdir(), "sallyport-engine-")));
    cut.#server.listen(join(cut.#folder, "engine.sock"));
    await once(cut.#server, "listening");
    return cut;
  }

  get address(): string {
    return `unix://${join(this.#folder, "engine.sock")}`;
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
    this.#server.close();
    await rm(this.#folder, { recursive: true });
  }

  #join(near: Socket): void {
    if (!this.#open) {
      near.destroy();
      return;
    }
    const far = docker.connectEngine();
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
