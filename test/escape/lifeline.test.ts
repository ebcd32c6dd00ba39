/** A sandbox never outlives its worker. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { after, before, describe, test } from "node:test";
import { guestPath, requireEngine } from "../helpers/docker.ts";
import { EscapeRoom, stillServes } from "../helpers/escape.ts";

const skip = await requireEngine();
const goneMs = 10_000;

describe("lifeline", { skip }, () => {
  let room: EscapeRoom;
  before(async () => {
    room = await EscapeRoom.open("lifeline");
  });
  after(async () => {
    await stillServes(room);
    await room[Symbol.asyncDispose]();
  });
  const running = async (id: string): Promise<boolean> =>
    await room.engine
      .getContainer(id)
      .inspect()
      .then(({ State }) => State.Running)
      .catch(() => false);
  /** Rejects when the container is still there after ten seconds. */
  const gone = async (id: string): Promise<void> => {
    const abortSignal = AbortSignal.timeout(goneMs);
    await room.engine.getContainer(id).wait({ condition: "removed", abortSignal });
  };
  /** A job that does what it can to stay: ignores signals, in a session of its own, holding its streams. */
  const stubborn = ["sh", "-c", "trap '' TERM HUP INT; setsid sleep 600 & while :; do sleep 1; done"];

  test("the worker's end of the stream is closed: the sandbox ends by itself and is removed", async () => {
    const sandbox = await room.create("shell");
    await sandbox.guest.exec({ argv: stubborn, env: {}, cwd: "/", stdin: "none" });
    const removed = gone(sandbox.id);
    sandbox.guest.close();
    await removed;
    assert.equal((await sandbox.ended).by, "exited");
  });

  test("a worker process that is killed takes its sandboxes with it", async () => {
    const settings = JSON.stringify({ worker: room.worker, boot: "killed", guestPath });
    const code = `
      import { createDockerDriver } from ${JSON.stringify(import.meta.resolve("../../src/sandbox/index.ts"))};
      import { silentLog } from ${JSON.stringify(import.meta.resolve("../../src/log.ts"))};
      const driver = createDockerDriver({ log: silentLog() }, ${settings});
      const sandbox = await driver.create({ profile: ${JSON.stringify(room.profile("shell"))}, lease: "escape", hosts: [] });
      await sandbox.guest.exec({ argv: ${JSON.stringify(stubborn)}, env: {}, cwd: "/", stdin: "none" });
      process.stdout.write(sandbox.id);
    `;
    const argv = ["--input-type=module", "-e", code];
    const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
    const [id] = (await once(child.stdout, "data")) as [Buffer];
    assert.equal(await running(id.toString()), true);
    const removed = gone(id.toString());
    child.kill("SIGKILL");
    await removed;
    assert.deepEqual(await room.driver.list(), []);
  });

  test("control: with StdinOnce a container ends with its client, without it it stays", async () => {
    for (const StdinOnce of [true, false]) {
      const body = room.sandboxBody(
        (change) => Object.assign(change, { OpenStdin: true, StdinOnce }),
        "shell",
      );
      const container = await room.engine.createContainer({ ...body, Entrypoint: ["cat"] });
      const stream = (await container.attach({
        stream: true,
        stdin: true,
        stdout: true,
        hijack: true,
      })) as Duplex;
      await container.start();
      const removed = container.wait({ condition: "removed" });
      stream.destroy();
      const outcome = await Promise.race([
        removed.then(() => "gone"),
        new Promise((resolve) => setTimeout(resolve, StdinOnce ? goneMs : 1_000, "there").unref()),
      ]);
      assert.equal(outcome, StdinOnce ? "gone" : "there");
      if (!StdinOnce) await container.remove({ force: true });
      await removed;
    }
  });
});
