/** The guest outlives whatever the job does to it, and goes on reporting. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, EscapeRoom, isSettled, run } from "../helpers/escape.ts";

const skip = await requireEngine();

describe("PID 1", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  const serves = async (): Promise<void> => {
    const ran = await run(sandbox, ["sh", "-c", "echo alive; exit 3"]);
    assert.deepEqual([ran.stdout, ran.exitCode], ["alive\n", 3]);
    assert.equal(await isSettled(sandbox.guest.closed), false, "the conversation is open");
  };
  before(async () => {
    room = await EscapeRoom.open("pid1-kill");
    sandbox = await room.create();
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("every signal, by every way of sending it, leaves the guest at work", async () => {
    const told = await attempt<Record<string, string>>(sandbox, attack("pid1", "signals"));
    assert.ok(Object.keys(told).length > 30);
    await serves();
  });

  test("a job that signals everybody loses its own processes only", async () => {
    const bystander = await sandbox.guest.exec({ argv: ["sleep", "600"], env: {}, cwd: "/", stdin: "none" });
    await attempt(sandbox, attack("pid1", "everybody"));
    // who is stopped first is killed all the same
    assert.equal((await bystander.exit).signal !== null, true);
    await serves();
  });

  test("a job that kills itself and all it made is reported with its signal", async () => {
    const ran = await run(sandbox, ["sh", "-c", "sleep 100 & sleep 100 & kill -9 1; kill -9 $$"], {
      timeout: 500,
    });
    assert.equal(ran.signal, "SIGKILL");
    await serves();
  });

  test("the guest's limits cannot be lowered to starve or end it", async () => {
    const told = await attempt<Record<string, string>>(sandbox, attack("pid1", "limits"));
    assert.ok(Object.keys(told).length > 0);
    for (const [name, answer] of Object.entries(told)) assert.equal(answer, "EPERM", name);
    // work enough to cross a processor limit of one second, had it been set
    await run(sandbox, ["sh", "-c", "head -c 400000000 /dev/zero"]);
    await serves();
  });

  test("the guest's place among those that wait for a processor is its own, every other's can be changed", async () => {
    const told = await attempt<Record<string, string[]>>(sandbox, attack("pid1", "place"));
    assert.equal(Object.keys(told).length, 6);
    for (const [name, answers] of Object.entries(told))
      assert.deepEqual(answers, ["EPERM", "ok", "ok"], name);
    await serves();
  });

  test("control: a program that is PID 1 without the guest's care ends on the first signal it has a handler for", async () => {
    const script =
      "import os,signal,sys,time\nsignal.signal(15, lambda *_: os._exit(9))\nif os.fork() == 0:\n  os.kill(1, 15); os._exit(0)\ntime.sleep(20)";
    const { exitCode } = await room.runContainer(room.sandboxBody(), ["python3", "-I", "-c", script]);
    assert.equal(exitCode, 9);
  });
});
