/** The real guest as a local child process with folders of its own, for tests that need no container. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import type { Exec, ExecSpec, Guest, GuestLink, OutputStream } from "../../src/sandbox/contract.ts";
import { connectGuest } from "../../src/sandbox/guest/index.ts";

const sources = join(import.meta.dirname, "../../images/guest");
/** `SALLYPORT_TEST_GUEST` names another build, such as the one with sanitizers */
const binary = process.env["SALLYPORT_TEST_GUEST"] ?? join(sources, "build/guest");
/** A tmpfs, as the writable folders of a sandbox are, where the run of the tests has one */
const scratch = process.env["TEST_TMPFS"] ?? tmpdir();
const isRoot = process.getuid?.() === 0;
/** As in a sandbox; only root can change to it */
const sandboxUser = 1000;

export interface GuestProcess extends AsyncDisposable {
  readonly guest: Guest;
  readonly link: GuestLink;
  readonly child: ChildProcess;
  readonly pid: number;
  /** The first root: where relative paths start */
  readonly workspace: string;
  /** The second root */
  readonly tmp: string;
  /** Resolves with the exit code of the guest */
  readonly exited: Promise<number | null>;
}

/** Builds the guest where its sources are newer, starts it and waits for its hello. */
export async function startGuest(env: Record<string, string> = {}): Promise<GuestProcess> {
  const process = launchGuest(env);
  const guest = await connectGuest(process.link);
  return { ...process, guest };
}

/** The same without a host: the link is the test's own to speak on. */
export function launchGuest(env: Record<string, string> = {}): Omit<GuestProcess, "guest"> {
  execFileSync("make", ["-s", "-C", sources], { stdio: ["ignore", "ignore", "inherit"] });
  const folder = mkdtempSync(join(scratch, "sallyport-guest-"));
  const [workspace, tmp] = [mkdtempSync(join(folder, "workspace-")), mkdtempSync(join(folder, "tmp-"))];
  for (const path of [folder, workspace, tmp]) {
    chmodSync(path, 0o755);
    if (isRoot) chownSync(path, sandboxUser, sandboxUser);
  }
  const child = spawn(binary, [workspace, tmp], {
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", LANG: "C.UTF-8", HOME: workspace, ...env },
    stdio: ["pipe", "pipe", "pipe"],
    ...(isRoot ? { uid: sandboxUser, gid: sandboxUser } : {}),
  });
  let diagnostics = "";
  child.stderr.on(
    "data",
    (chunk: Buffer) => (diagnostics = (diagnostics + chunk.toString()).slice(0, 16_384)),
  );
  const exited = new Promise<number | null>((resolve) => child.on("close", resolve));
  const link = {
    stream: Duplex.from({ readable: child.stdout, writable: child.stdin }),
    diagnostics: () => diagnostics,
  };
  return {
    link,
    child,
    pid: child.pid ?? 0,
    workspace,
    tmp,
    exited,
    async [Symbol.asyncDispose]() {
      link.stream.on("error", () => undefined);
      link.stream.destroy();
      child.stdin.destroy();
      child.stdout.destroy();
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** True while a process of that number is alive. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A program of the shell. */
export function sh(script: string, more: Partial<ExecSpec> = {}): ExecSpec {
  return { argv: ["sh", "-c", script], env: {}, cwd: "/", stdin: "none", ...more };
}

/** All that it prints, to its end. */
export async function collect(exec: Exec): Promise<Record<OutputStream, Buffer>> {
  const parts: Record<OutputStream, Uint8Array[]> = { stdout: [], stderr: [] };
  for await (const { stream, bytes } of exec.output) parts[stream].push(bytes);
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) };
}

/** Both, as text. */
export async function run(
  process: GuestProcess,
  spec: ExecSpec,
): Promise<{ exec: Exec; stdout: string; stderr: string }> {
  const exec = await process.guest.exec(spec);
  const { stdout, stderr } = await collect(exec);
  return { exec, stdout: stdout.toString(), stderr: stderr.toString() };
}
