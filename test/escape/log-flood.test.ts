/** Output is not kept by the engine, is never more than the host asked for, and stops a program instead of the host. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { rawEngine, requireEngine } from "../helpers/docker.ts";
import { EscapeRoom, run, stillServes } from "../helpers/escape.ts";

const skip = await requireEngine();
const mib = 2 ** 20;

describe("log flood", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  before(async () => {
    room = await EscapeRoom.open("log-flood");
    sandbox = await room.create("shell");
  });
  after(async () => {
    await stillServes(room);
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  const start = async (script: string) =>
    await sandbox.guest.exec({ argv: ["sh", "-c", script], env: {}, cwd: "/workspace", stdin: "none" });
  /** Bytes in the folder the engine keeps for a container, where its log would be. */
  const kept = async (id: string): Promise<number> => {
    const { DockerRootDir } = (await rawEngine().info()) as { DockerRootDir: string };
    const folder = join(DockerRootDir, "containers", id);
    const names = await readdir(folder).catch(() => []);
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  };

  test("after 50 MB on both streams the engine has no log and wrote nothing", async () => {
    const ran = await run(sandbox, [
      "sh",
      "-c",
      "head -c 25000000 /dev/zero; head -c 25000000 /dev/zero >&2",
    ]);
    assert.equal(ran.exitCode, 0);
    const { HostConfig, LogPath } = await rawEngine().getContainer(sandbox.id).inspect();
    assert.deepEqual([HostConfig.LogConfig?.Type, LogPath], ["none", ""]);
    assert.ok((await kept(sandbox.id)) < mib);
    await assert.rejects(
      rawEngine().getContainer(sandbox.id).logs({ stdout: true, follow: false }),
      /logging driver/,
    );
  });

  test("a program that nobody reads is stopped, and the worker holds no more than its window", async () => {
    const flood = await start("yes flood");
    const before = process.memoryUsage();
    // other execs are served while the flood stands still
    for (let turn = 0; turn < 30; turn++) {
      assert.equal((await run(sandbox, ["echo", "served"])).stdout, "served\n");
    }
    const { rss } = process.memoryUsage();
    assert.ok(rss - before.rss < 64 * mib, `grew by ${rss - before.rss}`);
    flood.killTree();
    assert.equal((await flood.exit).signal, "SIGKILL");
    let bytes = 0;
    for await (const chunk of flood.output) bytes += chunk.bytes.length;
    // its window, all of it, and no more
    assert.ok(bytes >= mib / 2 && bytes <= 2 * mib, `${bytes} bytes were sent unasked`);
  });

  test("output of every kind arrives byte for byte: no newline, NULs, invalid UTF-8, both streams in turn", async () => {
    const code = `import os, hashlib
data = bytes(range(256)) * 4096 + b"\\0" * 1000000 + b"\\xff\\xfe" * 100000
sent = [hashlib.sha256(), hashlib.sha256()]
for at in range(0, len(data), 7919):
    for fd in (1, 2):
        piece = data[at:at + 7919]
        while piece: piece = piece[os.write(fd, piece):]`;
    await using python = await room.create();
    const exec = await python.guest.exec({
      argv: ["python3", "-I", "-c", code],
      env: {},
      cwd: "/",
      stdin: "none",
    });
    const hashes = { stdout: createHash("sha256"), stderr: createHash("sha256") };
    for await (const { stream, bytes } of exec.output) hashes[stream].update(bytes);
    const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const expected = createHash("sha256")
      .update(Buffer.concat(Array.from({ length: 4096 }, () => every)))
      .update(Buffer.alloc(1_000_000))
      .update(Buffer.from("fffe".repeat(100_000), "hex"))
      .digest("hex");
    assert.deepEqual([hashes.stdout.digest("hex"), hashes.stderr.digest("hex")], [expected, expected]);
  });

  test("control: with the engine's default log the same output is written to its disk", async () => {
    const body = room.sandboxBody((change) => {
      change.HostConfig.LogConfig = { Type: "json-file", Config: {} };
      change.HostConfig.AutoRemove = false;
      change.Entrypoint = ["sh", "-c", "head -c 5000000 /dev/zero"];
    }, "shell");
    const container = await room.engine.createContainer(body);
    try {
      await container.start();
      await container.wait();
      assert.ok((await kept(container.id)) > 5 * mib);
    } finally {
      await container.remove({ force: true });
    }
  });
});
