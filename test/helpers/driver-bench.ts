/** What every driver is tried on: the fake or a real engine, its programs, and ways to run them. */
import { createHash } from "node:crypto";
import { silentLog } from "../../src/log.ts";
import { pseudoRandom } from "../../src/sandbox/fake/programs.ts";
import {
  createDockerDriver,
  createFakeDriver,
  FakeEngine,
  type Driver,
  type Exec,
  type ExecSpec,
  type Profile,
  type Sandbox,
} from "../../src/sandbox/index.ts";
import * as docker from "./docker.ts";

export interface Bench {
  open(options: { worker: string; boot: string }): Driver;
  profile(): Promise<Profile>;
  /** Takes a sandbox away behind the driver's back */
  lose(driver: Driver, id: string): Promise<void>;
  programs: {
    print: (text: string) => string[];
    complain: (text: string) => string[];
    exit: (code: number) => string[];
    cat: string[];
    sleep: string[];
    yes: string[];
    hang: string[];
    bulk: { argv: string[]; bytes: number; sha256: string };
    /** A child runs out of memory */
    outOfMemory: string[];
    unknown: string[];
  };
}

export function sha256(blocks: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const block of blocks) hash.update(block);
  return hash.digest("hex");
}

export function fakeBench(): Bench {
  const engine = new FakeEngine();
  return {
    open: (options) => createFakeDriver({ ...options, engine }),
    profile: async () => docker.smallProfile("none"),
    lose: async (driver, id) => (driver as ReturnType<typeof createFakeDriver>).lose(id),
    programs: {
      print: (text) => ["echo", text],
      complain: (text) => ["stderr", text],
      exit: (code) => ["exit", String(code)],
      cat: ["cat"],
      sleep: ["sleep", "60000"],
      yes: ["yes"],
      hang: ["hang"],
      bulk: { argv: ["bytes", "3000000", "7"], bytes: 3_000_000, sha256: sha256(pseudoRandom(3_000_000, 7)) },
      outOfMemory: ["oom"],
      unknown: ["no-such-program"],
    },
  };
}

export function dockerBench(): Bench {
  const counted = Buffer.from(`${Array.from({ length: 400_000 }, (_, n) => n + 1).join("\n")}\n`);
  const shell = (script: string, ...args: string[]): string[] => ["sh", "-c", script, "sh", ...args];
  return {
    open: (options) =>
      createDockerDriver(
        { log: silentLog() },
        { ...options, ...docker.engineAt(), guestPath: docker.guestPath },
      ),
    profile: async () => docker.smallProfile(await docker.testImage()),
    lose: async (_driver, id) => {
      await docker.rawEngine().getContainer(id).kill();
    },
    programs: {
      print: (text) => shell('echo "$1"', text),
      complain: (text) => shell('echo "$1" >&2', text),
      exit: (code) => shell('exit "$1"', String(code)),
      cat: ["cat"],
      sleep: ["sleep", "60"],
      yes: ["yes"],
      hang: shell('trap "" TERM; echo ready; while :; do sleep 1; done'),
      bulk: { argv: ["seq", "1", "400000"], bytes: counted.length, sha256: sha256([counted]) },
      outOfMemory: shell("head -c 300000000 /dev/zero | tail >/dev/null; echo went on"),
      unknown: ["no-such-program"],
    },
  };
}

export const execSpec = (argv: readonly string[], more: Partial<ExecSpec> = {}): ExecSpec => ({
  argv,
  env: {},
  cwd: "/workspace",
  stdin: "none",
  ...more,
});

export async function collect(exec: Exec): Promise<{ stdout: Buffer; stderr: Buffer }> {
  const parts: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  for await (const { stream, bytes } of exec.output) parts[stream].push(Buffer.from(bytes));
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) };
}

export async function runIn(sandbox: Sandbox, argv: readonly string[]) {
  const exec = await sandbox.guest.exec(execSpec(argv));
  const output = await collect(exec);
  return { ...output, ...(await exec.exit) };
}
