/** One child process that can be killed, frozen and started again; whatever it wrote on stderr is in its log file. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { openSync, closeSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Recorder } from "./history.ts";

export interface Program {
  name: string;
  /** file and arguments, after `node` */
  args: () => readonly string[];
  env?: NodeJS.ProcessEnv;
  logFile: string;
}

const readyMs = 60_000;

export class Child implements AsyncDisposable {
  readonly name: string;
  readonly #program: Program;
  readonly #recorder: Recorder;
  readonly #atExit = (): void => void this.#child?.kill("SIGKILL");
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #frozen = false;
  /** exit codes of the lives that were asked to end */
  readonly exits: (number | null)[] = [];

  constructor(program: Program, recorder: Recorder) {
    this.name = program.name;
    this.#program = program;
    this.#recorder = recorder;
    process.on("exit", this.#atExit);
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Starts it unless it runs; resolves with its ready line. Throws when it ends before that. */
  async start(): Promise<Record<string, string>> {
    if (this.#child !== undefined) throw new Error(`${this.name} runs already`);
    const log = openSync(this.#program.logFile, "a");
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", ...this.#program.args()],
      {
        stdio: ["pipe", "pipe", log],
        env: { ...process.env, ...this.#program.env },
      },
    );
    closeSync(log);
    this.#child = child;
    child.stdin?.on("error", () => undefined);
    const pid = child.pid ?? 0;
    this.#note("started", pid);
    this.#ended = once(child, "exit").then(() => {
      const { name } = this;
      this.#recorder.note({ type: "process", what: "ended", name, pid, order: child.signalCode === null });
      if (this.#child === child) this.#child = undefined;
    });
    const lines = createInterface({ input: child.stdout ?? process.stdin });
    const timer = setTimeout(() => child.kill("SIGKILL"), readyMs);
    const [line] = await Promise.race([once(lines, "line"), this.#ended.then(() => [undefined])]);
    clearTimeout(timer);
    if (typeof line !== "string")
      throw new Error(`${this.name} ended before it was ready: see ${this.#program.logFile}`);
    return JSON.parse(line) as Record<string, string>;
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    this.#frozen = false;
    await this.#ended;
  }

  /** SIGTERM; one that outlives `ms` is killed, and false is returned. */
  async stop(ms: number): Promise<boolean> {
    const child = this.#child;
    if (child === undefined) return true;
    let inTime = true;
    this.thaw();
    child.kill("SIGTERM");
    const timer = setTimeout(() => {
      inTime = false;
      child.kill("SIGKILL");
    }, ms);
    await this.#ended;
    clearTimeout(timer);
    if (inTime) this.exits.push(child.exitCode);
    return inTime;
  }

  freeze(): void {
    if (this.#child === undefined || this.#frozen) return;
    this.#frozen = true;
    this.#child.kill("SIGSTOP");
    this.#note("frozen", this.#child.pid ?? 0);
  }

  thaw(): void {
    if (this.#child === undefined || !this.#frozen) return;
    this.#frozen = false;
    this.#note("thawed", this.#child.pid ?? 0);
    this.#child.kill("SIGCONT");
  }

  /** Its wall clock is ahead of the machine's by so much from here on. A next life begins with the right time. */
  setClock(aheadMs: number): void {
    this.#child?.stdin?.write(`${aheadMs}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    process.off("exit", this.#atExit);
  }

  #note(what: "started" | "frozen" | "thawed", pid: number): void {
    this.#recorder.note({ type: "process", what, name: this.name, pid });
  }
}
