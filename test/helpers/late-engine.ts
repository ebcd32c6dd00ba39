/** A way to the engine that loses a request and has it carried out all the same. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as docker from "./docker.ts";

/** A way to the engine on which one creation is answered with a closed connection, and carried out only later. */
export class LateEngine implements AsyncDisposable {
  readonly #folder: string;
  readonly #server = createServer((near) => this.#join(near));
  /** The status line of the engine's answer to the lost creation */
  readonly made = Promise.withResolvers<string>();
  #lost = false;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<LateEngine> {
    const late = new LateEngine(await mkdtemp(join(tmpdir(), "sallyport-engine-")));
    late.#server.listen(join(late.#folder, "engine.sock"));
    await once(late.#server, "listening");
    return late;
  }

  get address(): string {
    return `unix://${join(this.#folder, "engine.sock")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await rm(this.#folder, { recursive: true });
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
