/** The command line as its own process, against a real hub with a worker whose sandboxes are fake. */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { dialChannel, workerDialect, type WorkerChannel } from "../../src/channel/index.ts";
import { createClient, type Client } from "../../src/client/index.ts";
import { silentLog } from "../../src/log.ts";
import { createFakeDriver, loadProfiles, parseProfile, type FakeDriver } from "../../src/sandbox/index.ts";
import { createWorker, type Worker } from "../../src/worker/index.ts";
import { TestHub } from "../helpers/hub.ts";

const root = resolve(import.meta.dirname, "../..");

export interface Ended {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

export type Child = ChildProcessByStdio<Writable, Readable, Readable>;

export interface CliRig extends AsyncDisposable {
  hub: TestHub;
  client: Client;
  driver: FakeDriver;
  /** a folder for files of the test */
  dir: string;
  /** Runs one command line to its end, with nothing on stdin unless `input` says so. */
  run(args: string[], input?: Buffer): Promise<Ended>;
  /** Starts one with an open stdin; the caller reads its output. */
  start(args: string[]): Child;
}

export async function startCli(): Promise<CliRig> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "sallyport-cli-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const hub = stack.use(await TestHub.start({ intervals: { graceMs: 300 } }));
  const driver = stack.use(createFakeDriver());
  const worker = stack.use(await startWorker(hub, driver, dir));
  stack.defer(() => worker.drain(1_000));
  const owned = stack.move();
  const env = {
    PATH: process.env["PATH"],
    SALLYPORT_HUB: hub.url,
    SALLYPORT_KEY_FILE: join(hub.dir, "admin.key"),
  };
  const main = join(root, "src/main.ts");
  const command = (args: string[]): string[] => ["--disable-warning=ExperimentalWarning", main, ...args];
  return {
    hub,
    driver,
    dir,
    client: createClient({ url: hub.url, key: hub.adminKey }),
    start: (args) =>
      spawn(process.execPath, command(args), { cwd: dir, env, stdio: ["pipe", "pipe", "pipe"] }),
    run: async (args, input) => {
      const options = { cwd: dir, env };
      if (input === undefined) {
        return await ended(
          spawn(process.execPath, command(args), { ...options, stdio: ["ignore", "pipe", "pipe"] }),
        );
      }
      const child = spawn(process.execPath, command(args), { ...options, stdio: ["pipe", "pipe", "pipe"] });
      // It may end without having read all of it.
      child.stdin.on("error", () => undefined).end(input);
      return await ended(child);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export async function ended(child: ChildProcessByStdio<Writable | null, Readable, Readable>): Promise<Ended> {
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
  return { code: await code, stdout, stderr: stderr.toString("utf8") };
}

async function startWorker(hub: TestHub, driver: FakeDriver, dir: string): Promise<Worker> {
  const shipped = (await loadProfiles(join(root, "sandbox-profiles"))).profiles;
  const shell = shipped.get("shell");
  if (shell === undefined) throw new Error("there is no shell profile");
  const resources = { cpus: 1, memory: "64MiB", pids: 16, workspace: "16MiB", tmp: "8MiB" };
  const limits = { wallClock: "10s", output: "1MiB", artifacts: "1MiB" };
  const tiny = parseProfile({ name: "tiny", shape: "shell", image: "none", resources, limits }, "tiny");
  const profiles = new Map([
    ["shell", shell],
    ["tiny", tiny],
  ]);
  const link = { url: hub.url, token: hub.workerToken, dialect: workerDialect, log: silentLog() };
  const dial = (signal: AbortSignal): Promise<WorkerChannel> => dialChannel({ ...link, signal });
  const worker = createWorker(
    { driver, dial, profiles: () => profiles, log: silentLog() },
    {
      workerId: "worker-cli",
      bootId: randomUUID(),
      version: "0",
      labels: {},
      slots: 8,
      memoryBytes: 2 ** 34,
      cpus: 2,
      spoolDir: join(dir, "spool"),
      pool: false,
    },
  );
  const ready = new Promise<void>((resolve) => worker.onReady(resolve));
  void worker.run();
  await ready;
  return worker;
}

/** What the fake program `bytes COUNT SEED` prints. */
export function pseudoRandomBytes(count: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(count / 4));
  let state = seed >>> 0;
  for (let at = 0; at < words.length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[at] = state;
  }
  return Buffer.from(words.buffer, 0, count);
}
