/** Roles of the product as child processes, as they run in earnest. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createClient, type Client } from "../../src/client/index.ts";

export const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface Running extends AsyncDisposable {
  pid: number;
  ready: { url?: string; keyFile?: string };
}

/** The environment the command's first line makes for itself, with its cache of compiled code. */
export function asLaunched(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    NODE_COMPILE_CACHE: join(homedir(), ".cache/sallyport"),
    NODE_OPTIONS: "--disable-warning=ExperimentalWarning",
  };
}

/** What is to be undone should this process end before it is disposed of, as after Ctrl-C; the newest first. */
function atExit(undo: () => void): Disposable {
  process.prependOnceListener("exit", undo);
  return { [Symbol.dispose]: () => void process.off("exit", undo) };
}

/** `child` ends with this process. */
export function bound<Child extends ChildProcess>(child: Child): Child {
  const watch = atExit(() => void child.kill("SIGKILL"));
  child.once("exit", () => watch[Symbol.dispose]());
  return child;
}

/** Starts a TypeScript program and waits for the JSON line it prints when it is ready. */
export async function startProgram(program: string, args: readonly string[]): Promise<Running> {
  const child = bound(
    spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"], env: asLaunched() }),
  );
  const line = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  if (line.done === true) throw new Error(`${program} ${args.join(" ")} ended before it was ready`);
  return {
    pid: child.pid ?? 0,
    ready: JSON.parse(line.value) as Running["ready"],
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

export function startRole(role: string, args: readonly string[]): Promise<Running> {
  return startProgram(main, [role, ...args, "--log-level", "warn"]);
}

export async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "sallyport-bench-"));
  const watch = atExit(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }));
  return {
    path,
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      await rm(path, { recursive: true, force: true });
    },
  };
}

export function clientOf(url: string | undefined, keyFile: string): Client {
  return createClient({ url: url ?? "", key: readFileSync(keyFile, "utf8").trim() });
}
