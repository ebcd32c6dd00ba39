/** A role or a command line as a process of its own, ended by its id. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";

const readyMs = 60_000;
const stopMs = 20_000;
const insistMs = 3_000;

/** One child process that is a role, or a command line. */
export class Process implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #errors: Buffer[] = [];
  /** every line of stdout, where it is not collected as bytes */
  readonly lines: string[] = [];
  readonly exit: Promise<[number | null, NodeJS.Signals | null]>;
  readonly #atExit = (): void => void this.child.kill("SIGKILL");

  constructor(child: ChildProcess) {
    this.child = child;
    this.exit = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
    process.once("exit", this.#atExit);
    void this.exit.then(() => process.off("exit", this.#atExit));
    assert.ok(child.stderr);
    child.stderr.on("data", (bytes: Buffer) => this.#errors.push(bytes));
  }

  get pid(): number {
    const { pid } = this.child;
    assert.ok(pid !== undefined, "the process was started");
    return pid;
  }

  /** what it wrote on stderr so far */
  get stderr(): string {
    return Buffer.concat(this.#errors).toString("utf8");
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Log lines whose `msg` is this one */
  logged(msg: string): Record<string, unknown>[] {
    return this.stderr.split("\n").flatMap((line) => {
      if (!line.startsWith("{") || !line.endsWith("}")) return [];
      const read = JSON.parse(line) as Record<string, unknown>;
      return read["msg"] === msg ? [read] : [];
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends `signal` and waits for the end; a process that outlives `stopMs` is killed and fails the test. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<[number | null, NodeJS.Signals | null]> {
    if (!this.running) return await this.exit;
    this.kill(signal);
    const timer = setTimeout(() => this.kill("SIGKILL"), stopMs);
    const end = await this.exit;
    clearTimeout(timer);
    assert.ok(
      signal === "SIGKILL" || end[1] !== "SIGKILL",
      `ends within ${stopMs} ms of ${signal}: ${this.stderr}`,
    );
    return end;
  }

  /** A test that failed half-way leaves jobs behind, which a second signal ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.running) return;
    // one that a test froze cannot end otherwise
    this.kill("SIGCONT");
    const insist = setTimeout(() => this.kill("SIGTERM"), insistMs);
    await this.stop();
    clearTimeout(insist);
  }

  /** The line a role prints once it serves. */
  async ready(): Promise<Record<string, string>> {
    const { stdout } = this.child;
    assert.ok(stdout);
    const first = Promise.withResolvers<string>();
    createInterface(stdout).on("line", (line) => {
      this.lines.push(line);
      first.resolve(line);
    });
    const over = this.exit.then(([code]) => {
      throw new Error(`ended with ${code} before it was ready: ${this.stderr}`);
    });
    const timer = setTimeout(() => first.reject(new Error(`not ready: ${this.stderr}`)), readyMs);
    const line = await Promise.race([first.promise, over]).finally(() => clearTimeout(timer));
    over.catch(() => undefined);
    const read = JSON.parse(line) as Record<string, string>;
    assert.equal(read["event"], "ready");
    return read;
  }
}

export interface Ended {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

export async function ended(command: Process): Promise<Ended> {
  const { stdout } = command.child;
  assert.ok(stdout);
  const closed = once(command.child, "close") as Promise<[number | null]>;
  const bytes = await buffer(stdout);
  const [code] = await closed;
  return { code, stdout: bytes, stderr: command.stderr };
}

/** Open files and sockets of a process, from the kernel's own list */
export function descriptorsOf(pid: number): { all: number; sockets: number } {
  const folder = `/proc/${pid}/fd`;
  const targets = readdirSync(folder).map((fd) => {
    try {
      return readlinkSync(join(folder, fd));
    } catch {
      // closed since
      return "";
    }
  });
  const open = targets.filter((target) => target !== "");
  return { all: open.length, sockets: open.filter((target) => target.startsWith("socket:")).length };
}
