/** The hub as its own process: how it starts, what it refuses, how it ends. */
import assert from "node:assert/strict";
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { ended } from "./cli-rig.ts";

const main = resolve(import.meta.dirname, "../../src/main.ts");

interface Folder extends AsyncDisposable {
  path: string;
}

async function folder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), "sallyport-hub-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

type Child = ChildProcessByStdio<null, Readable, Readable> & AsyncDisposable;

function sallyport(...args: string[]): Child {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], {
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return Object.assign(child, {
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  });
}

async function readyLine(child: Child): Promise<Record<string, string>> {
  for await (const line of createInterface(child.stdout)) return JSON.parse(line) as Record<string, string>;
  return assert.fail("it ended without a word");
}

test("a hub says where it is once it answers, and a first signal drains it", async () => {
  await using dir = await folder();
  await using hub = sallyport("hub", "--listen", "127.0.0.1:0", "--state", join(dir.path, "s"));
  const ready = await readyLine(hub);
  assert.equal(ready["event"], "ready");
  assert.equal((await fetch(`${ready["url"]}/healthz`)).status, 200);
  assert.equal((await stat(join(dir.path, "s", "admin.key"))).mode & 0o777, 0o600);
  hub.kill("SIGTERM");
  const [code] = (await once(hub, "exit")) as [number];
  assert.equal(code, 0);
});

test("a second hub on the same state folder is refused, and the first goes on", async () => {
  await using dir = await folder();
  await using first = sallyport("hub", "--listen", "127.0.0.1:0", "--state", dir.path);
  const { url } = await readyLine(first);
  await using second = sallyport("hub", "--listen", "127.0.0.1:0", "--state", dir.path, "--json");
  const { code, stderr } = await ended(second);
  assert.equal(code, 1);
  const last = JSON.parse(stderr.trim().split("\n").at(-1) ?? "") as { error: { code: string } };
  assert.equal(last.error.code, "state_in_use");
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
});

test("a port that is taken is an error with a fix", async () => {
  await using dir = await folder();
  await using first = sallyport("hub", "--listen", "127.0.0.1:0", "--state", join(dir.path, "a"));
  const { port } = new URL((await readyLine(first))["url"] ?? "");
  await using second = sallyport("hub", "--listen", `127.0.0.1:${port}`, "--state", join(dir.path, "b"));
  const { code, stderr } = await ended(second);
  assert.equal(code, 1);
  assert.match(stderr, /error: listen: cannot listen on 127\.0\.0\.1[^]*fix: /);
});

test("keys added and revoked while the hub runs count at once", async () => {
  await using dir = await folder();
  await using hub = sallyport("hub", "--listen", "127.0.0.1:0", "--state", dir.path);
  const { url } = await readyLine(hub);
  const added = await ended(sallyport("keys", "add", "ci", "--state", dir.path));
  const headers = { authorization: `Bearer ${added.stdout.toString().trim()}` };
  const statusOf = async (): Promise<number> => (await fetch(`${url}/v1/jobs`, { headers })).status;
  const becomes = async (wanted: number): Promise<void> => {
    for (let tries = 0; tries < 100 && (await statusOf()) !== wanted; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(await statusOf(), wanted);
  };
  await becomes(200);
  assert.equal((await ended(sallyport("keys", "revoke", "ci", "--state", dir.path))).code, 0);
  await becomes(401);
});

test("a worker whose token is open to others says so and ends", async () => {
  await using dir = await folder();
  const token = join(dir.path, "token");
  await writeFile(token, "sp_x", { mode: 0o644 });
  const args = [
    "worker",
    "--hub",
    "http://127.0.0.1:9",
    "--token-file",
    token,
    "--state",
    join(dir.path, "w"),
  ];
  const open = await ended(sallyport(...args));
  assert.equal(open.code, 1);
  assert.match(open.stderr, /others can read this token[^]*fix: chmod 600 /);
});
