/** A fork bomb stops at the limit, disturbs nobody and goes away with its sandbox. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Exec, Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, EscapeRoom, run, stillServes } from "../helpers/escape.ts";

const skip = await requireEngine();
const bombs = {
  // bash tries again where other shells give up, so the sandbox stays full
  shell: ["bash", "-c", "bomb() { bomb | bomb & }; bomb"],
  python: attack("fork_bomb"),
};
/** How many processes a program can have at once, up to a bound; they end with it. */
const count = `import json, os, time, sys
made = 0
while made < int(sys.argv[1]):
    try:
        if os.fork() == 0:
            time.sleep(30); os._exit(0)
    except OSError:
        break
    made += 1
print(json.dumps(made), flush=True)
import signal
signal.signal(15, signal.SIG_IGN); os.kill(0, 15)`;

/** A hundred daemons that keep the processor busy and hold a thousand descriptors each, the job's output last. */
const busy = `import os
null = os.open("/dev/null", os.O_RDONLY)
wait, go = os.pipe()
for _ in range(100):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(go)
        output, held = os.dup(1), []
        try:
            while True:
                held.append(os.dup(null))
        except OSError:
            pass
        os.dup2(output, held[-1])
        for number in (1, 2, output):
            os.dup2(null, number)
        os.read(wait, 1)
        while True:
            pass
    os.wait()
print("busy", flush=True)
os.close(go)
while True:
    pass`;

describe("processes", { skip }, () => {
  let room: EscapeRoom;
  before(async () => {
    room = await EscapeRoom.open("pids");
  });
  after(async () => {
    await stillServes(room);
    await room[Symbol.asyncDispose]();
  });
  /** Waits until the sandbox is full; `stats` comes from the engine, so nothing inside has to answer. */
  const full = async (sandbox: Sandbox, limit: number): Promise<number> => {
    for (let tries = 0; tries < 30; tries++) {
      const { pids } = await sandbox.stats();
      if (pids >= limit * 0.9) return pids;
    }
    throw new Error("the bomb never filled the sandbox");
  };

  test(
    "the end of a killed program is told before its busy daemons are looked for",
    { timeout: 60_000 },
    async () => {
      await using sandbox = await room.create();
      const argv = ["python3", "-I", "-c", busy];
      const exec = await sandbox.guest.exec({ argv, env: {}, cwd: "/", stdin: "none" });
      await exec.output[Symbol.asyncIterator]().next();
      exec.killTree();
      const first = await Promise.race([exec.exit, delay(15_000, undefined, { ref: false })]);
      assert.equal(first?.signal, "SIGKILL");
    },
  );

  for (const [name, argv] of Object.entries(bombs)) {
    test(`a fork bomb in ${name} is capped, a neighbour works, and the sandbox is removed`, async () => {
      const { pids: limit } = room.profile("fanout").resources;
      await using neighbour = await room.create("fanout");
      await using sandbox = await room.create("fanout");
      const bomb: Exec = await sandbox.guest.exec({ argv, env: {}, cwd: "/workspace", stdin: "none" });
      bomb.exit.catch(() => undefined);
      assert.ok((await full(sandbox, limit)) <= limit);
      assert.equal((await run(neighbour, ["sh", "-c", "echo undisturbed"])).stdout, "undisturbed\n");
      await sandbox[Symbol.asyncDispose]();
      assert.equal((await sandbox.ended).by, "removed");
      assert.deepEqual(
        (await room.driver.list()).map(({ id }) => id),
        [neighbour.id],
      );
    });
  }

  test("a bomb is ended by killing everything, and the sandbox serves on", async () => {
    await using sandbox = await room.create("fanout");
    const argv = bombs.python;
    const bomb = await sandbox.guest.exec({ argv, env: {}, cwd: "/workspace", stdin: "none" });
    await full(sandbox, room.profile("fanout").resources.pids);
    sandbox.guest.killAll();
    assert.equal((await bomb.exit).signal, "SIGKILL");
    assert.equal((await run(sandbox, ["echo", "on"])).stdout, "on\n");
  });

  test("the limit counts what one sandbox holds, threads too", async () => {
    const { pids } = room.profile("fanout").resources;
    await using sandbox = await room.create("fanout");
    const made = await attempt<number>(sandbox, ["python3", "-I", "-c", count, "500"]);
    assert.ok(made > 4 && made < pids, String(made));
    const threads = `import threading, time
made = 0
try:
    while made < 500:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start(); made += 1
except RuntimeError: pass
print(made)
import os; os._exit(0) if not print(end="", flush=True) else None`;
    const ran = await run(sandbox, ["python3", "-I", "-c", threads]);
    assert.ok(Number(ran.stdout) > 4 && Number(ran.stdout) < pids, ran.stdout + ran.stderr);
  });

  test("control: without the limit the same count goes on", async () => {
    const body = room.sandboxBody(({ HostConfig }) => (HostConfig.PidsLimit = 0), "fanout");
    const { stdout } = await room.runContainer(body, ["python3", "-I", "-c", count, "100"]);
    assert.equal(stdout.trim(), "100");
  });
});
