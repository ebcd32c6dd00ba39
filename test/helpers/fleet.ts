/** Hub, worker and dev as their users run them: own processes on temporary state, ended by their ids, nothing left behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createClient, type Client } from "../../src/client/index.ts";
import type { Intervals } from "../../src/protocol/index.ts";
import { leakCheck, rawEngine } from "./docker.ts";
import { ended, Process, type Ended } from "./fleet-process.ts";

const root = resolve(import.meta.dirname, "../..");
const main = join(root, "src/main.ts");
const shortHub = join(import.meta.dirname, "short-hub.ts");

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

/** Containers with this label, in any state */
export async function sandboxesOf(owner: { worker: string } | { lease: string }): Promise<string[]> {
  const filters = { label: Object.entries(owner).map(([name, value]) => `dev.sallyport.${name}=${value}`) };
  return (await rawEngine().listContainers({ all: true, filters })).map(({ Id }) => Id);
}
