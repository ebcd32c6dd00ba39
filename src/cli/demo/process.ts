import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { abortable, withDeadline } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";

const readyMs = 120_000;
const stopMs = 20_000;

interface ProcessOptions {
  /** The whole environment; this process's own when absent */
  env?: Readonly<Record<string, string>>;
  /** Where it says that it is ready */
  announcing?: "stdout" | "stderr";
}

/** A long-lived program of the demonstration, stopped with it. */
export class Process implements AsyncDisposable {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #exited: Promise<unknown>;
  #said = "";

  /** Runs Node with `args`. */
  constructor(name: string, args: readonly string[], { env, announcing = "stdout" }: ProcessOptions = {}) {
    this.#name = name;
    // A group of its own: Ctrl-C reaches the demonstration only, which then stops its processes in order.
    this.#process = spawn(process.execPath, [...process.execArgv, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      ...(env !== undefined && { env: { ...env } }),
    });
    this.#exited = once(this.#process, "exit");
    const { stdout, stderr } = this.#process;
    const input = (announcing === "stdout" ? stdout : stderr) ?? process.stdin;
    this.#lines = createInterface({ input })[Symbol.asyncIterator]();
    stdout?.resume();
    stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-4_096);
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** The first line for which `wanted` has an answer; a program that ends before is an error with the last it said. */
  async ready<T>(wanted: (line: string) => T | undefined, signal: AbortSignal): Promise<T> {
    for (;;) {
      const next = withDeadline(this.#lines.next(), readyMs, `the ${this.#name}'s start`);
      const line = await abortable(next, signal);
      if (line.done === true)
        throw new SallyportError("internal", `the ${this.#name} did not start: ${this.#said.trim()}`);
      const answer = wanted(line.value);
      if (answer !== undefined) return answer;
    }
  }

  /** The first signal and the second of a role: it ends what runs. */
  hurry(): void {
    this.#process.kill("SIGINT");
    this.#process.kill("SIGTERM");
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

/** What a role says when it is ready. */
export interface ReadyLine {
  url?: string;
  edge?: string;
}

/** One role of this program, started the way this process was. */
export function startRole(name: string, args: readonly string[]): Process {
  return new Process(name, [process.argv[1] ?? "", name, ...args, "--log-level", "warn"]);
}

/** The JSON line of a role, or of the sample MCP server. */
export function readyLine(line: string): ReadyLine | undefined {
  return line.startsWith("{") ? (JSON.parse(line) as ReadyLine) : undefined;
}
