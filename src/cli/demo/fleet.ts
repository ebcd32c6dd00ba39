/** A hub and a worker as processes of their own, as they would run on two machines. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { withDeadline } from "../../async/index.ts";
import { createClient, type Client } from "../../client/index.ts";
import { SallyportError } from "../../errors.ts";

export interface Fleet extends AsyncDisposable {
  readonly client: Client;
  readonly workerPid: number;
  /** The first signal: takes nothing new, finishes, leaves. Resolves with the exit code. */
  drainWorker(): Promise<number | null>;
}

const readyMs = 120_000;
const stopMs = 20_000;

export async function startFleet(stateDir: string): Promise<Fleet> {
  await using stack = new AsyncDisposableStack();
  const hubState = join(stateDir, "hub");
  const hub = stack.use(new Role("hub", ["--listen", "127.0.0.1:0", "--state", hubState]));
  const url = await hub.ready();
  const tokenFile = join(hubState, "worker.token");
  const worker = stack.use(
    new Role("worker", ["--hub", url, "--token-file", tokenFile, "--state", join(stateDir, "worker")]),
  );
  await worker.ready();
  const key = (await readFile(join(hubState, "admin.key"), "utf8")).trim();
  const owned = stack.move();
  return {
    client: createClient({ url, key }),
    workerPid: worker.pid,
    drainWorker: () => worker.stop(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** One long-lived command of this program, started the way this process was. */
class Role implements AsyncDisposable {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #exited: Promise<unknown>;
  #said = "";

  constructor(name: string, args: readonly string[]) {
    this.#name = name;
    const program = [...process.execArgv, process.argv[1] ?? "", name, ...args, "--log-level", "warn"];
    // A group of its own: Ctrl-C reaches the demo only, which then stops its processes in order.
    this.#process = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#exited = once(this.#process, "exit");
    this.#lines = createInterface({ input: this.#process.stdout ?? process.stdin })[Symbol.asyncIterator]();
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-4_096);
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** The URL in its ready line; a role that ends first is an error with the last it said. */
  async ready(): Promise<string> {
    const line = await withDeadline(this.#lines.next(), readyMs, `the ${this.#name}'s start`);
    if (line.done === true) {
      throw new SallyportError("internal", `the ${this.#name} did not start: ${this.#said.trim()}`);
    }
    const { url } = JSON.parse(line.value) as { url?: string };
    return url ?? "";
  }

  async stop(): Promise<number | null> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill("SIGTERM");
      const killer = setTimeout(() => this.#process.kill("SIGKILL"), stopMs);
      await this.#exited;
      clearTimeout(killer);
    }
    return this.#process.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
