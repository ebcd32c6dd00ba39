/** What a sandbox can write is bounded in bytes and in files, wherever it writes, and costs the host no disk. */
import assert from "node:assert/strict";
import { statfs } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom, run, stillServes } from "../helpers/escape.ts";

const skip = await requireEngine();
const mib = 2 ** 20;

type Filled = Record<string, Record<string, [number, string]>>;

describe("disk", { skip }, () => {
  let room: EscapeRoom;
  before(async () => {
    room = await EscapeRoom.open("disk");
  });
  after(async () => {
    await stillServes(room);
    await room[Symbol.asyncDispose]();
  });
  const hostFree = async (): Promise<{ bytes: number; files: number }> => {
    const { DockerRootDir } = (await room.engine.info()) as { DockerRootDir: string };
    const { bavail, bsize, ffree } = await statfs(DockerRootDir);
    return { bytes: bavail * bsize, files: ffree };
  };

  test("every writable folder ends at its size and its number of files, by every way of filling it", async () => {
    const { workspace, tmp } = room.profile().resources;
    const bytes: Record<string, number> = {
      "/workspace": workspace,
      "/tmp": tmp,
      "/run/sallyport": mib,
      "/dev/shm": 8 * mib,
      "/dev/mqueue": 0,
    };
    const before = await hostFree();
    await using sandbox = await room.create();
    const filled = await attempt<Filled>(sandbox, attack("fill"));
    for (const [folder, ways] of Object.entries(filled)) {
      const size = bytes[folder] ?? 0;
      for (const way of ["write", "deleted", "allocate", "sparse"]) {
        const [amount, refused] = ways[way] ?? [Infinity, ""];
        assert.ok(amount <= size, `${way} in ${folder}: ${amount} bytes`);
        assert.notEqual(refused, "unlimited", `${way} in ${folder}`);
      }
      for (const way of ["inodes", "deep"]) {
        const [count, refused] = ways[way] ?? [Infinity, ""];
        assert.ok(count <= Math.max(64, size / 4096), `${way} in ${folder}: ${count} files`);
        assert.notEqual(refused, "unlimited", `${way} in ${folder}`);
      }
    }
    assert.ok(
      (filled["/workspace"]?.["write"]?.[0] ?? 0) > 0.9 * workspace,
      "the workspace was really filled",
    );
    const after = await hostFree();
    // over a gigabyte and 40,000 files were written; the margins are for whatever else the host does meanwhile
    assert.ok(before.bytes - after.bytes < 256 * mib, `host lost ${before.bytes - after.bytes} bytes`);
    assert.ok(before.files - after.files < 10_000, `host lost ${before.files - after.files} files`);
    const [listed] = await room.engine.listContainers({ size: true, filters: { id: [sandbox.id] } });
    const { SizeRw = 0 } = listed as { SizeRw?: number };
    assert.equal(SizeRw, 0, "the container's own layer is empty");
  });

  test("a sandbox that is full still takes commands, and a neighbour has all its room", async () => {
    await using sandbox = await room.create("fanout");
    await using neighbour = await room.create("fanout");
    await run(sandbox, ["sh", "-c", "for d in /workspace /tmp /dev/shm; do cat /dev/zero > $d/full; done"]);
    assert.equal((await run(sandbox, ["sh", "-c", "echo still here"])).stdout, "still here\n");
    const free = await run(neighbour, ["sh", "-c", "head -c 8000000 /dev/zero > mine && wc -c < mine"]);
    assert.equal(free.stdout.trim(), "8000000");
  });

  test("control: without limits of number and size the same filling goes on", async () => {
    const body = room.sandboxBody(({ HostConfig }) => {
      HostConfig.Tmpfs = {
        "/workspace": "rw,uid=1000",
        "/tmp": "rw,mode=1777",
        "/run/sallyport": "rw,uid=1000",
      };
      HostConfig.Memory = 0;
      HostConfig.MemorySwap = 0;
    });
    const counted = `import json, os
made = 0
while made < 40000:
    os.close(os.open(f"/workspace/{made}", os.O_CREAT | os.O_WRONLY)); made += 1
print(json.dumps(made))`;
    assert.equal(await attemptIn<number>(room, body, ["python3", "-I", "-c", counted]), 40_000);
  });
});
