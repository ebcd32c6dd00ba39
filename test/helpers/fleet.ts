/** Hub, worker and dev as their users run them: own processes on temporary state, ended by their ids, nothing left behind. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import { createClient, type Client } from "../../src/client/index.ts";
import type { Intervals } from "../../src/protocol/index.ts";
import { leakCheck, rawEngine } from "./docker.ts";

const root = resolve(import.meta.dirname, "../..");
const main = join(root, "src/main.ts");
const shortHub = join(import.meta.dirname, "short-hub.ts");
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

export interface HubStart {
  /** the one it had before, or any */
  port?: number;
  /** short ones for tests of lost workers; then the hub is assembled by a program of the tests */
  intervals?: Partial<Intervals>;
  /** folder under the fleet's */
  state?: string;
}

export interface WorkerStart {
  /** folder of its state under the fleet's */
  name?: string;
  slots?: number;
  /** another way to the hub */
  hub?: string;
  /** folder with profiles; the shipped ones without it */
  profiles?: string;
  dockerHost?: string;
  flags?: readonly string[];
}

export class Fleet implements AsyncDisposable {
  readonly dir: string;
  url = "";
  keyFile = "";
  readonly #processes = new Set<Process>();
  readonly #workers = new Set<string>();
  readonly #logLevel: string;

  private constructor(dir: string, logLevel: string) {
    this.dir = dir;
    this.#logLevel = logLevel;
  }

  static async make(options: { logLevel?: string } = {}): Promise<Fleet> {
    return new Fleet(await mkdtemp(join(tmpdir(), "sallyport-fleet-")), options.logLevel ?? "debug");
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get key(): string {
    return readFileSync(this.keyFile, "utf8").trim();
  }

  get client(): Client {
    return createClient({ url: this.url, key: this.key });
  }

  /** Every line any process of this fleet wrote on stderr or stdout */
  get output(): string {
    return [...this.#processes].flatMap(({ stderr, lines }) => [stderr, ...lines]).join("\n");
  }

  async startHub({ port = 0, intervals, state = "hub" }: HubStart = {}): Promise<Process> {
    const folder = join(this.dir, state);
    const args =
      intervals === undefined
        ? [main, "hub", "--listen", `127.0.0.1:${port}`, "--state", folder, "--log-level", this.#logLevel]
        : [shortHub, JSON.stringify({ dir: folder, port, intervals, logLevel: this.#logLevel })];
    const hub = this.#spawn(args);
    const { url } = await hub.ready();
    assert.ok(url);
    this.url = url;
    this.keyFile = join(folder, "admin.key");
    return hub;
  }

  async startWorker(options: WorkerStart = {}): Promise<Process> {
    const { name = "worker", slots = 4, hub = this.url, profiles, dockerHost, flags = [] } = options;
    const token = join(this.keyFile, "../worker.token");
    const state = join(this.dir, name);
    const args = [main, "worker", "--hub", hub, "--token-file", token, "--state", state];
    args.push("--slots", String(slots), "--log-level", this.#logLevel, ...flags);
    if (profiles !== undefined) args.push("--profiles", profiles);
    const worker = this.#spawn(args, dockerHost === undefined ? {} : { DOCKER_HOST: dockerHost });
    const { worker: id } = await worker.ready();
    assert.ok(id);
    if (dockerHost === undefined) this.#workers.add(id);
    return worker;
  }

  async startDev(flags: readonly string[] = []): Promise<Process> {
    const dev = this.#spawn([main, "dev", "--log-level", this.#logLevel, ...flags]);
    const { url, keyFile } = await dev.ready();
    assert.ok(url !== undefined && keyFile !== undefined);
    this.url = url;
    this.keyFile = keyFile;
    this.#workers.add(this.workerId(".sallyport"));
    return dev;
  }

  /** Id of the worker whose state is in the folder `name` */
  workerId(name = "worker"): string {
    return readFileSync(join(this.dir, name, "worker-id"), "utf8").trim();
  }

  /** A folder of profiles, by the names they carry. */
  async profiles(
    folder: string,
    ...profiles: ({ name: string } & Record<string, unknown>)[]
  ): Promise<string> {
    const dir = join(this.dir, folder);
    await mkdir(dir, { recursive: true });
    for (const profile of profiles) {
      await writeFile(join(dir, `${profile.name}.json`), JSON.stringify(profile));
    }
    return dir;
  }

  /** One command line; its stdout is the caller's to read. */
  cli(
    args: readonly string[],
    options: { stdin?: "ignore" | "pipe"; env?: NodeJS.ProcessEnv } = {},
  ): Process {
    const access = this.url === "" ? {} : { SALLYPORT_HUB: this.url, SALLYPORT_KEY_FILE: this.keyFile };
    return this.#spawn([main, ...args], { ...access, ...options.env }, options.stdin ?? "ignore");
  }

  /** One command line to its end. */
  async run(args: readonly string[], options: { env?: NodeJS.ProcessEnv } = {}): Promise<Ended> {
    return await ended(this.cli(args, options));
  }

  /** Containers of this fleet's worker, in any state */
  async sandboxes(name = "worker"): Promise<string[]> {
    return await sandboxesOf({ worker: this.workerId(name) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const faults: unknown[] = [];
    const attempt = async (work: Promise<unknown>): Promise<void> => {
      await work.catch((error: unknown) => faults.push(error));
    };
    for (const running of [...this.#processes].toReversed()) await attempt(running[Symbol.asyncDispose]());
    for (const id of this.#workers) await attempt(leakCheck(`dev.sallyport.worker=${id}`));
    await rm(this.dir, { recursive: true, force: true });
    if (faults.length > 0) throw faults[0];
  }

  #spawn(args: readonly string[], env: NodeJS.ProcessEnv = {}, stdin: "ignore" | "pipe" = "ignore"): Process {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
      cwd: this.dir,
      env: { PATH: process.env["PATH"], DOCKER_HOST: process.env["DOCKER_HOST"], ...env },
      stdio: [stdin, "pipe", "pipe"],
    });
    // It may end without having read all of it.
    child.stdin?.on("error", () => undefined);
    const started = new Process(child);
    this.#processes.add(started);
    return started;
  }
}

export async function ended(command: Process): Promise<Ended> {
  const { stdout } = command.child;
  assert.ok(stdout);
  const closed = once(command.child, "close") as Promise<[number | null]>;
  const bytes = await buffer(stdout);
  const [code] = await closed;
  return { code, stdout: bytes, stderr: command.stderr };
}

/** Containers with this label, in any state */
export async function sandboxesOf(owner: { worker: string } | { lease: string }): Promise<string[]> {
  const filters = { label: Object.entries(owner).map(([name, value]) => `dev.sallyport.${name}=${value}`) };
  return (await rawEngine().listContainers({ all: true, filters })).map(({ Id }) => Id);
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
