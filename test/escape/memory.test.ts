/** Memory ends at the limit, swap included; running out is told, whoever was killed for it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { requireEngine } from "../helpers/docker.ts";
import { EscapeRoom, run, stillServes } from "../helpers/escape.ts";

const skip = await requireEngine();
const mib = 2 ** 20;

/** Touches `size` bytes, in steps of a mebibyte. */
const hog = (size: number): string =>
  `import mmap\nm = mmap.mmap(-1, ${size})\nfor at in range(0, ${size}, 4096): m[at] = 1`;
const python = (code: string): string[] => ["python3", "-I", "-c", code];
const limits = [
  "/sys/fs/cgroup/memory/memory.limit_in_bytes",
  "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
  "/sys/fs/cgroup/memory.max",
  "/sys/fs/cgroup/memory.swap.max",
];

describe("memory", { skip }, () => {
  let room: EscapeRoom;
  let limit: number;
  before(async () => {
    room = await EscapeRoom.open("memory");
    limit = room.profile("fanout").resources.memory;
  });
  after(async () => {
    await stillServes(room);
    await room[Symbol.asyncDispose]();
  });

  test("four times the limit in the command itself: killed, and memory ran out", async () => {
    await using sandbox = await room.create("fanout");
    const ran = await run(sandbox, python(hog(4 * limit)));
    assert.equal(ran.signal, "SIGKILL");
    assert.equal(await sandbox.memoryRanOut(), true);
  });

  test("four times the limit in a child of a command that ends with 0: memory ran out all the same", async () => {
    await using sandbox = await room.create("fanout");
    const child = `import os\nif os.fork() == 0:\n  exec(${JSON.stringify(hog(4 * limit))})\n  os._exit(0)\nos.wait()\nprint('fine')`;
    const ran = await run(sandbox, python(child));
    assert.deepEqual([ran.exitCode, ran.stdout], [0, "fine\n"]);
    assert.equal(await sandbox.memoryRanOut(), true);
    assert.equal((await run(sandbox, ["echo", "on"])).stdout, "on\n");
  });

  test("a job's own exit 137, exit 139 and kill -9 are not memory running out", async () => {
    await using sandbox = await room.create("fanout");
    assert.equal((await run(sandbox, ["sh", "-c", "exit 137"])).exitCode, 137);
    assert.equal((await run(sandbox, ["sh", "-c", "exit 139"])).exitCode, 139);
    assert.equal((await run(sandbox, ["sh", "-c", "kill -9 $$"])).signal, "SIGKILL");
    assert.equal(await sandbox.memoryRanOut(), false);
  });

  test("the cgroup gives no swap beyond the limit", async () => {
    await using sandbox = await room.create("fanout");
    const { stdout } = await run(sandbox, ["sh", "-c", `cat ${limits.join(" ")} 2>/dev/null`]);
    const [memory, swap] = stdout.trim().split("\n");
    assert.equal(Number(memory), limit);
    assert.ok(Number(swap) === limit || Number(swap) === 0, stdout);
  });

  for (const [name, code] of Object.entries({
    "files in every writable folder": `import mmap, os
data = b"x" * ${mib}
total = 0
for folder in ("/workspace", "/tmp", "/dev/shm"):
    try:
        with open(folder + "/fill", "wb", 0) as f:
            while True: total += f.write(data)
    except OSError: pass
# what the files leave is not enough for the rest of the limit
m = mmap.mmap(-1, ${64 * mib} - total)
for at in range(0, len(m), 4096): m[at] = 1`,
    "segments of System V shared memory": `import ctypes
libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p
for n in range(40):
    at = libc.shmat(libc.shmget(0, ${8 * mib}, 0o1600), None, 0)
    ctypes.memset(at, 1, ${8 * mib})`,
    "anonymous files": `import os
while True:
    fd = os.memfd_create("x")
    for _ in range(8): os.write(fd, b"x" * ${mib})`,
    "buffers of sockets": `import os, socket
keep = []
try:
    while True:
        a, b = socket.socketpair(); a.setblocking(False); keep += [a, b]
        try:
            while True: a.send(b"x" * 65536)
        except BlockingIOError: pass
except OSError: pass
data = bytearray()
while True: data += b"x" * ${mib}`,
  })) {
    test(`${name} count against the limit`, async () => {
      await using sandbox = await room.create("fanout");
      const ran = await run(sandbox, python(code)).catch(() => undefined);
      assert.ok(ran === undefined || ran.signal === "SIGKILL", JSON.stringify(ran));
      assert.equal(await sandbox.memoryRanOut(), true);
    });
  }

  test("control: without a limit the same allocation succeeds", async () => {
    const body = room.sandboxBody(({ HostConfig }) => {
      HostConfig.Memory = 0;
      HostConfig.MemorySwap = 0;
    }, "fanout");
    const { exitCode } = await room.runContainer(body, python(hog(2 * limit)));
    assert.equal(exitCode, 0);
  });
});
