/** Two sandboxes share nothing: not at the same time, not one after the other. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Exec, Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom } from "../helpers/escape.ts";

const skip = await requireEngine();
const mark = `mark-${process.pid}`;

/** Lets the marks stand, with the process that holds the sockets alive. */
async function leaveMarks(sandbox: Sandbox): Promise<{ left: string[]; exec: Exec }> {
  const argv = attack("leave", "leave", mark, "60");
  const exec = await sandbox.guest.exec({ argv, env: {}, cwd: "/", stdin: "none" });
  for await (const { stream, bytes } of exec.output) {
    const text = Buffer.from(bytes).toString();
    assert.equal(stream, "stdout", text);
    return { left: JSON.parse(text) as string[], exec };
  }
  throw new Error("the marks were not left");
}
const look = async (sandbox: Sandbox): Promise<string[]> =>
  await attempt<string[]>(sandbox, attack("leave", "find", mark));

describe("sharing", { skip }, () => {
  let room: EscapeRoom;
  let first: Sandbox;
  before(async () => {
    room = await EscapeRoom.open("sharing");
    first = await room.create();
  });
  after(async () => {
    await first[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("marks left everywhere are seen in the same sandbox, not in another beside it nor in one after it", async () => {
    const { left } = await leaveMarks(first);
    const everywhere = [
      "/workspace",
      "/tmp",
      "/dev/shm",
      "shared memory",
      "semaphore",
      "message queue",
      "abstract socket",
      "loopback port",
      "name",
    ];
    assert.deepEqual(
      everywhere.filter((place) => !left.includes(place)),
      [],
    );
    const own = await look(first);
    for (const place of [
      `/workspace/${mark}`,
      `/dev/shm/${mark}`,
      "shared memory",
      "abstract socket",
      "process",
    ]) {
      assert.ok(own.includes(place), `${place} in ${own.join(", ")}`);
    }
    await using beside = await room.create();
    assert.deepEqual(await look(beside), []);
    await first[Symbol.asyncDispose]();
    await using afterwards = await room.create();
    assert.deepEqual(await look(afterwards), []);
  });

  test("one sandbox's processes are not seen, signalled or traced by another", async () => {
    await using one = await room.create();
    await using other = await room.create();
    const argv = ["python3", "-I", "-c", "import os, time; print(1, flush=True); time.sleep(60)", mark];
    const quiet = await one.guest.exec({ argv, env: {}, cwd: "/", stdin: "none" });
    const listing =
      "import glob, json; print(json.dumps([open(p).read() for p in glob.glob('/proc/[0-9]*/cmdline')]))";
    const seen = await attempt<string[]>(other, ["python3", "-I", "-c", listing]);
    assert.ok(seen.length > 0 && seen.every((line) => !line.includes(mark)));
    await attempt(other, attack("pid1", "everybody"));
    const own = await attempt<string[]>(one, ["python3", "-I", "-c", listing]);
    assert.ok(
      own.some((line) => line.includes(mark)),
      "it runs on",
    );
    quiet.killTree();
  });

  test("control: two containers in one namespace of IPC and network do see each other's marks", async () => {
    const holder = await room.engine.createContainer({
      ...room.sandboxBody(({ HostConfig }) => {
        HostConfig.IpcMode = "shareable";
        // only the engine's own mount of it can be shared
        delete (HostConfig.Tmpfs as Record<string, string>)["/dev/shm"];
      }),
      Entrypoint: attack("leave", "leave", mark, "60"),
    });
    const out = await holder.attach({ stream: true, stdout: true });
    const ready = new Promise((resolve) => out.once("data", resolve));
    await holder.start();
    try {
      await ready;
      const body = room.sandboxBody((change) => {
        delete change.Hostname;
        delete (change.HostConfig.Tmpfs as Record<string, string>)["/dev/shm"];
        for (const key of ["ExtraHosts", "Dns", "DnsSearch", "DnsOptions"] as const)
          delete change.HostConfig[key];
        change.HostConfig.IpcMode = `container:${holder.id}`;
        change.HostConfig.NetworkMode = `container:${holder.id}`;
        change.HostConfig.PidMode = `container:${holder.id}`;
      });
      const found = await attemptIn<string[]>(room, body, attack("leave", "find", mark));
      for (const place of ["shared memory", "semaphore", "abstract socket", "loopback port", "process"]) {
        assert.ok(found.includes(place), `${place} in ${found.join(", ")}`);
      }
    } finally {
      await holder.remove({ force: true });
    }
  });
});
