/** `dev` and `run` as their users start them: own processes, a real engine, nothing but a folder in common. */
import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcessByStdio } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { requireEngine } from "../helpers/docker.ts";

const skip = await requireEngine();
const main = resolve(import.meta.dirname, "../../src/main.ts");

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

function sallyport(cwd: string, args: string[], env: NodeJS.ProcessEnv = {}): Child {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], {
    cwd,
    env: { PATH: process.env["PATH"], DOCKER_HOST: process.env["DOCKER_HOST"], ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  // It may end without having read all of it.
  child.stdin.on("error", () => undefined);
  return child;
}

async function ended(child: Child): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  const closed = once(child, "close");
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
  const [code] = (await closed) as [number];
  return { code, stdout, stderr: stderr.toString("utf8") };
}

async function startDev(cwd: string): Promise<Child> {
  const dev = sallyport(cwd, ["dev", "--slots", "4", "--no-pool"]);
  dev.stderr.resume();
  for await (const line of createInterface(dev.stdout)) {
    assert.equal((JSON.parse(line) as { event: string }).event, "ready");
    break;
  }
  return dev;
}

function sandboxesOf(cwd: string): string[] {
  const worker = readFileSync(join(cwd, ".sallyport", "worker-id"), "utf8").trim();
  const filter = `label=dev.sallyport.worker=${worker}`;
  return execFileSync("docker", ["ps", "-aq", "--filter", filter], { encoding: "utf8" })
    .split("\n")
    .filter(Boolean);
}

/** A sandbox is removed behind its job's result. */
async function sandboxesGone(cwd: string): Promise<void> {
  for (let tries = 0; tries < 100 && sandboxesOf(cwd).length > 0; tries += 1) await sleep(100);
  assert.deepEqual(sandboxesOf(cwd), []);
}

let dir: string;
let dev: Child;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "sallyport-dev-"));
  if (skip === false) dev = await startDev(dir);
});

after(async () => {
  if (skip === false && dev.exitCode === null) {
    dev.kill("SIGKILL");
    await once(dev, "exit");
  }
  await rm(dir, { recursive: true, force: true });
});

async function run(args: string[], input: Buffer = Buffer.alloc(0)) {
  const child = sallyport(dir, ["run", ...args]);
  child.stdin.end(input);
  return await ended(child);
}

test("the running dev is found from its folder, and code runs", { skip }, async () => {
  const { code, stdout, stderr } = await run(["-c", "print(6*7)"]);
  assert.deepEqual([code, stdout.toString(), stderr], [0, "42\n", ""]);
});

test("a shell's streams stay apart and its exit code is ours", { skip }, async () => {
  const { code, stdout, stderr } = await run([
    "--profile",
    "shell",
    "--",
    "sh",
    "-c",
    "echo out; echo err >&2; exit 3",
  ]);
  assert.deepEqual([code, stdout.toString(), stderr], [3, "out\n", "err\n"]);
});

test("random bytes through stdin arrive unchanged", { skip }, async () => {
  const input = randomBytes(20_000_000);
  const { stdout } = await run(["--profile", "shell", "--", "sha256sum"], input);
  assert.equal(stdout.toString().slice(0, 64), createHash("sha256").update(input).digest("hex"));
});

test("a timeout exits 124, running out of memory 137", { skip }, async () => {
  assert.equal((await run(["--timeout", "1s", "--", "sleep", "60"])).code, 124);
  const hog = await run(["--json", "-c", "x = bytearray(1 << 30)"]);
  assert.equal(hog.code, 137);
  assert.equal((JSON.parse(hog.stdout.toString()) as { reason: string }).reason, "oom");
});

test("a file goes in, an artifact comes out", { skip }, async () => {
  const { code } = await run([
    "--input",
    join(dir, ".sallyport", "worker-id:in.txt"),
    "--output",
    "out.txt",
    "-c",
    "open('out.txt','w').write(open('in.txt').read().upper())",
  ]);
  assert.equal(code, 0);
  const worker = readFileSync(join(dir, ".sallyport", "worker-id"), "utf8");
  assert.equal(readFileSync(join(dir, "out.txt"), "utf8"), worker.toUpperCase());
});

test("Ctrl-C exits 130 and the sandbox is gone", { skip }, async () => {
  await sandboxesGone(dir);
  const child = sallyport(dir, ["run", "--", "sh", "-c", "echo here; sleep 60"]);
  await once(child.stdout, "data");
  assert.equal(sandboxesOf(dir).length, 1);
  const over = ended(child);
  child.kill("SIGINT");
  assert.equal((await over).code, 130);
  await sandboxesGone(dir);
});

test("a second dev in the same folder is refused", { skip }, async () => {
  const { code, stderr } = await ended(sallyport(dir, ["dev", "--json"]));
  assert.equal(code, 1);
  assert.match(stderr, /"code":"state_in_use"/);
});

test("without an engine dev says what to do", { skip }, async () => {
  const elsewhere = join(dir, "elsewhere");
  const none = await ended(
    sallyport(dir, ["dev", "--json", "--state", elsewhere], { DOCKER_HOST: "unix:///nowhere.sock" }),
  );
  assert.equal(none.code, 1);
  assert.match(none.stderr, /"code":"engine_unavailable".*"fix":/);
});

test(
  "a first signal lets the running job finish and takes no other, then dev is over and leaves nothing",
  { skip },
  async () => {
    const child = sallyport(dir, ["run", "--", "sh", "-c", "echo here; read -r _; echo done"]);
    await once(child.stdout, "data");
    const over = ended(child);
    const exit = once(dev, "exit");
    const state = join(dir, ".sallyport");
    const { url } = JSON.parse(readFileSync(join(state, "dev.json"), "utf8")) as { url: string };
    const key = readFileSync(join(state, "admin.key"), "utf8").trim();
    dev.kill("SIGTERM");
    for (let tries = 0; tries < 100 && (await fetch(`${url}/readyz`)).ok; tries += 1) await sleep(20);
    const refused = await fetch(`${url}/v1/jobs`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ profile: "shell", command: ["true"] }),
    });
    assert.match(await refused.text(), /"hub_draining"/);
    child.stdin.end("\n");
    const { code, stdout } = await over;
    assert.deepEqual([code, stdout.toString()], [0, "done\n"]);
    assert.deepEqual(await exit, [0, null]);
    assert.equal(existsSync(join(dir, ".sallyport", "dev.json")), false);
    assert.deepEqual(sandboxesOf(dir), []);
  },
);

test("a second signal aborts what runs and exits 3", { skip }, async () => {
  dev = await startDev(dir);
  const child = sallyport(dir, ["run", "--", "sh", "-c", "echo here; sleep 60"]);
  await once(child.stdout, "data");
  const over = ended(child);
  const exit = once(dev, "exit");
  dev.kill("SIGINT");
  dev.kill("SIGTERM");
  assert.deepEqual(await exit, [3, null]);
  child.kill("SIGINT");
  child.kill("SIGINT");
  await over;
  assert.deepEqual(sandboxesOf(dir), []);
});
