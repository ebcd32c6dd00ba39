/** Whatever a job starts ends with its sandbox, however it hides. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { requireEngine } from "../helpers/docker.ts";
import { EscapeRoom, run } from "../helpers/escape.ts";

const skip = await requireEngine();
/** Forks twice into a session of its own, ignores what can be ignored, keeps its streams, and is found by its name. */
const daemon = (name: string): string[] => [
  "python3",
  "-I",
  "-c",
  `import os, signal, sys, time
if os.fork(): time.sleep(0.1); print("started", flush=True); os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for n in range(1, 32):
    if n not in (9, 19): signal.signal(n, signal.SIG_IGN)
time.sleep(600)`,
  name,
];

/** Processes of this host, those in containers included, with the text in their command line. */
async function onHost(text: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  return pids.filter((_, at) => lines[at]?.endsWith(`\0${text}\0`) === true).map(Number);
}

describe("daemons", { skip }, () => {
  let room: EscapeRoom;
  before(async () => {
    room = await EscapeRoom.open("daemons");
  });
  after(async () => {
    await room[Symbol.asyncDispose]();
  });

  test("a daemon that left its session and holds stdout is gone with the sandbox", async () => {
    const name = `daemon-a-${process.pid}`;
    const sandbox = await room.create();
    const exec = await sandbox.guest.exec({ argv: daemon(name), env: {}, cwd: "/", stdin: "none" });
    assert.equal((await exec.exit).exitCode, 0);
    // control: it is there, seen from the host
    assert.ok((await onHost(name)).length > 0);
    await sandbox[Symbol.asyncDispose]();
    assert.deepEqual(await onHost(name), []);
  });

  test("killing an exec's tree finds its daemon by the stream it holds, so that output ends", async () => {
    const name = `daemon-b-${process.pid}`;
    await using sandbox = await room.create();
    const exec = await sandbox.guest.exec({ argv: daemon(name), env: {}, cwd: "/", stdin: "none" });
    assert.equal((await exec.exit).exitCode, 0);
    exec.killTree();
    const printed: Buffer[] = [];
    for await (const { bytes } of exec.output) printed.push(Buffer.from(bytes));
    assert.equal(Buffer.concat(printed).toString(), "started\n");
    assert.deepEqual(await onHost(name), []);
    assert.equal((await run(sandbox, ["echo", "on"])).stdout, "on\n");
  });

  test("a thousand orphans are reaped by the guest: none stays a zombie", async () => {
    await using sandbox = await room.create();
    const orphans =
      "import os\nfor _ in range(1000):\n  p = os.fork()\n  if p == 0:\n    if os.fork() == 0: os._exit(0)\n    os._exit(0)\n  os.waitpid(p, 0)";
    await run(sandbox, ["python3", "-I", "-c", orphans]);
    const zombies = async (): Promise<string> =>
      (await run(sandbox, ["sh", "-c", "cat /proc/[0-9]*/stat | grep -c ') Z ' || true"])).stdout.trim();
    let left = await zombies();
    // the last of them may still be ending
    for (let tries = 0; left !== "0" && tries < 20; tries++) left = await zombies();
    assert.equal(left, "0");
  });
});
