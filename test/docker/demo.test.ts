/** `sallyport demo` as a user sees it, to its end and stopped half-way. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { text } from "node:stream/consumers";
import { leakCheck, requireEngine } from "../helpers/docker.ts";
import { eventually } from "../helpers/hub.ts";

const skip = await requireEngine();
const main = resolve(import.meta.dirname, "../../src/main.ts");

class Demo implements AsyncDisposable {
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  readonly #stderr: Promise<string>;
  stdout = "";

  private constructor(folder: string) {
    this.#folder = folder;
    this.#child = spawn(process.execPath, [main, "demo"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    this.#exit = once(this.#child, "exit");
    const { stdout, stderr } = this.#child;
    assert.ok(stdout !== null && stderr !== null);
    stdout.setEncoding("utf8").on("data", (part: string) => (this.stdout += part));
    this.#stderr = text(stderr);
  }

  static async start(): Promise<Demo> {
    return new Demo(await mkdtemp(join(tmpdir(), "sallyport-demo-")));
  }

  async shows(step: string): Promise<void> {
    await eventually(() => this.stdout.includes(`✔ ${step}`) || undefined, 60_000);
  }

  stop(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async over(): Promise<{ code: number | null; stderr: string }> {
    await this.#exit;
    return { code: this.#child.exitCode, stderr: await this.#stderr };
  }

  /** What it has started so far: the processes, and the label of the sandboxes */
  async started(): Promise<{ pids: number[]; label: string }> {
    const home = join(this.#folder, ".sallyport");
    const [state = ""] = await readdir(home);
    const id = await readFile(join(home, state, "worker/worker-id"), "utf8");
    const task = `/proc/${this.#child.pid}/task/${this.#child.pid}/children`;
    const pids = (await readFile(task, "utf8")).trim().split(" ").map(Number);
    return { pids, label: `dev.sallyport.worker=${id.trim()}` };
  }

  /** Fails when anything of what it had started is there. */
  async leavesNothing({ pids, label }: { pids: number[]; label: string }): Promise<void> {
    const running = pids.filter((pid) => existsSync(`/proc/${pid}`));
    assert.deepEqual([running, await readdir(join(this.#folder, ".sallyport"))], [[], []]);
    await leakCheck(label);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop("SIGINT");
    await this.over();
    await rm(this.#folder, { recursive: true });
  }
}

test("every step holds, and nothing is left", { skip }, async () => {
  await using demo = await Demo.start();
  await demo.shows("Start two MCP servers");
  const started = await demo.started();
  const { code, stderr } = await demo.over();
  assert.deepEqual([code, stderr], [0, ""], demo.stdout);
  assert.match(demo.stdout, /\n16 steps held, 0 failed\n$/);
  await demo.leavesNothing(started);
});

for (const [how, signal] of [
  ["stopped", "SIGINT"],
  ["whose terminal is closed", "SIGHUP"],
] as const) {
  test(
    `one ${how} in the middle of its steps ends what runs at once, and leaves nothing`,
    { skip },
    async () => {
      await using demo = await Demo.start();
      await demo.shows("A program's failure is a result");
      const started = await demo.started();
      assert.equal(started.pids.length, 5);
      demo.stop(signal);
      const { code, stderr } = await demo.over();
      assert.deepEqual([code, stderr], [128 + constants.signals[signal], ""], demo.stdout);
      const told = `\n– A program that sleeps past its timeout of 1 s\n    stopped by ${signal}; `;
      assert.ok(demo.stdout.includes(told), demo.stdout);
      await demo.leavesNothing(started);
    },
  );
}

test("one stopped while it starts ends what it has started", { skip }, async () => {
  await using demo = await Demo.start();
  const started = await eventually(() => demo.started().catch(() => undefined));
  assert.equal(started.pids.length, 5);
  demo.stop("SIGINT");
  const { code, stderr } = await demo.over();
  assert.deepEqual([code, stderr], [130, ""], demo.stdout);
  assert.match(demo.stdout, /^– Start two MCP servers.*\n {4}stopped by SIGINT; .*\n$/);
  await demo.leavesNothing(started);
});
