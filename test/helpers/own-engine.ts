/** A Docker engine of the test's own, beside the shared one: private socket and folders, no network, to be killed and restarted. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import Docker from "dockerode";
import { rawEngine } from "./docker.ts";
import { eventually } from "./hub.ts";

const run = promisify(execFile);

/** The reason why no engine can be started here, or `false`. */
export async function requireOwnEngine(): Promise<string | false> {
  if (process.getuid?.() !== 0) return "an engine of the test's own needs root";
  return await run("dockerd", ["--version"]).then(
    () => false,
    () => "there is no dockerd to start",
  );
}

export class OwnEngine implements AsyncDisposable {
  readonly dir: string;
  readonly dockerHost: string;
  readonly client: Docker;
  #process: ChildProcess | undefined;

  private constructor(dir: string) {
    this.dir = dir;
    const socketPath = join(dir, "docker.sock");
    this.dockerHost = `unix://${socketPath}`;
    this.client = new Docker({ socketPath, version: "v1.41" });
  }

  /** Up, with these images of the shared engine. */
  static start(...images: string[]): Promise<OwnEngine> {
    return OwnEngine.#start(undefined, images);
  }

  /** The same on a disk of its own of that many MiB, which can be filled. */
  static startOnDisk(mebibytes: number, ...images: string[]): Promise<OwnEngine> {
    return OwnEngine.#start(mebibytes, images);
  }

  static async #start(mebibytes: number | undefined, images: readonly string[]): Promise<OwnEngine> {
    const engine = new OwnEngine(await mkdtemp(join(tmpdir(), "sallyport-engine-")));
    try {
      if (mebibytes !== undefined) await engine.#mountDisk(mebibytes);
      await engine.up();
      await engine.#load(images);
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      throw error;
    }
    return engine;
  }

  /** No effect while it runs. */
  async up(): Promise<void> {
    if (this.#isUp) return;
    const { dir } = this;
    const folders = ["--data-root", join(dir, "data"), "--exec-root", join(dir, "exec")];
    const place = ["--host", this.dockerHost, "--pidfile", join(dir, "pid"), ...folders];
    const child = spawn("dockerd", [...place, "--bridge=none", "--iptables=false"], {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    process.once("exit", () => child.kill("SIGKILL"));
    void pipeline(child.stderr, createWriteStream(join(dir, "log"), { flags: "a" })).catch(() => undefined);
    this.#process = child;
    await eventually(
      () =>
        this.client.ping().then(
          () => true,
          () => undefined,
        ),
      30_000,
    );
  }

  get #isUp(): boolean {
    return this.#process?.exitCode === null && this.#process.signalCode === null;
  }

  /** Stands still until `thaw`. */
  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#process?.kill("SIGCONT");
  }

  /** No effect while it is down. */
  async down(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#process;
    if (child === undefined || !this.#isUp) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
    // the engine's own helper dies with it, a moment later
    await eventually(async () => !(await runs(join(this.dir, "exec/containerd/containerd.pid"))), 15_000);
  }

  /** Writes its disk full to the last block, and again with `fill`; dispose the result to make room. */
  async fillDisk(): Promise<AsyncDisposable & { fill(): Promise<void> }> {
    const ballast = join(this.dir, "data", "ballast");
    const fill = async (): Promise<void> => {
      for (const bytes of [2 ** 20, 2 ** 12]) {
        const block = Buffer.alloc(bytes);
        while (await appendFile(ballast, block).then(() => true, isFull));
      }
    };
    await fill();
    return { fill, [Symbol.asyncDispose]: () => rm(ballast, { force: true }) };
  }

  /** Those it has: a killed one may go on listing some as dead that it knows nothing of. */
  async containers(): Promise<string[]> {
    const listed = await this.client.listContainers({ all: true });
    const looks = listed.map(async ({ Id, State }) => {
      const is =
        State !== "dead" ||
        (await this.client
          .getContainer(Id)
          .inspect()
          .then(() => true, isThere));
      return is ? [`${Id} ${State}`] : [];
    });
    return (await Promise.all(looks)).flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // a killed engine leaves containers behind that only its next life ends
    const killed = this.#process?.signalCode === "SIGKILL";
    if (killed) await this.up();
    for (const { Id } of await this.client.listContainers({ all: true }).catch(() => [])) {
      await this.client.getContainer(Id).remove({ force: true }).catch(isThere);
    }
    await this.down("SIGTERM");
    for (const pid of await helpersUnder(this.dir)) process.kill(pid, "SIGKILL");
    for (const mount of (await mountsUnder(this.dir)).toReversed()) await run("umount", ["-l", mount]);
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  async #mountDisk(mebibytes: number): Promise<void> {
    const data = join(this.dir, "data");
    await mkdir(data);
    await run("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=0711`, "tmpfs", data]);
  }

  async #load(images: readonly string[]): Promise<void> {
    await mkdir(this.dir, { recursive: true });
    for (const image of images) {
      const saved = await rawEngine().getImage(image).get();
      const answer = await this.client.loadImage(saved);
      await pipeline(answer, async (lines) => {
        for await (const _ of lines) continue;
      });
    }
  }
}

/** False; throws for any other reason than a full disk. */
function isFull(error: NodeJS.ErrnoException): boolean {
  if (error.code !== "ENOSPC") throw error;
  return false;
}

/** False; throws for any other reason than that there is no such container. */
function isThere(error: Error & { statusCode?: number }): boolean {
  if (error.statusCode !== 404) throw error;
  return false;
}

async function runs(pidFile: string): Promise<boolean> {
  try {
    process.kill(Number(await readFile(pidFile, "utf8")), 0);
    return true;
  } catch {
    return false;
  }
}

/** Container helpers that outlived a killed engine and that its next life did not take over */
async function helpersUnder(dir: string): Promise<number[]> {
  const pids = (await readdir("/proc")).map(Number).filter(Number.isInteger);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      return line.includes("containerd-shim") && line.includes(`${dir}/`) ? [pid] : [];
    }),
  );
  return found.flat();
}

async function mountsUnder(dir: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).split("\n");
  return lines.map((line) => line.split(" ")[1] ?? "").filter((path) => path.startsWith(`${dir}/`));
}
