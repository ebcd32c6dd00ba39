/** Files go in and out as bytes of regular files of the sandbox: no link leads anywhere, nothing blocks or floods. */
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isError } from "../../src/errors.ts";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { EscapeRoom, run } from "../helpers/escape.ts";

const skip = await requireEngine();
const refused = (error: unknown): boolean => isError(error, "file_refused", "file_unknown");

describe("file traffic", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  let folder: string;
  let hostFile: string;
  const secret = randomUUID();
  const get = async (path: string, maxBytes = 2 ** 20): Promise<Buffer> =>
    Buffer.concat(await Array.fromAsync(sandbox.guest.files.get(path, maxBytes)));

  before(async () => {
    room = await EscapeRoom.open("file-traffic");
    sandbox = await room.create();
    folder = await mkdtemp(join(tmpdir(), "sallyport-host-"));
    hostFile = join(folder, "secret");
    await writeFile(hostFile, secret);
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  test("control: a regular file arrives as it is", async () => {
    await run(sandbox, ["sh", "-c", "printf plain > plain"]);
    assert.equal((await get("plain")).toString(), "plain");
  });

  test("a large file arrives whole every time", async () => {
    await run(sandbox, ["sh", "-c", "head -c 8000000 /dev/urandom > large"]);
    const expected = (await run(sandbox, ["sha256sum", "large"])).stdout.slice(0, 64);
    for (let turn = 0; turn < 40; turn++) {
      const bytes = await get("large", 8_000_000);
      assert.equal(createHash("sha256").update(bytes).digest("hex"), expected);
    }
  });

  test("links to the host, upwards, to nothing and to themselves are told as links and never followed", async () => {
    const targets = {
      host: hostFile,
      passwd: "/etc/passwd",
      up: "../../../../etc/hostname",
      nothing: "nowhere",
      self: "self",
      environ: "/proc/self/environ",
      guest: "/proc/1/environ",
    };
    for (const [name, target] of Object.entries(targets)) {
      await run(sandbox, ["ln", "-sfn", target, name]);
      await assert.rejects(get(name), refused, name);
      assert.equal((await sandbox.guest.files.stat(name)).type, "link", name);
      await assert.rejects(sandbox.guest.files.put(`${name}/below`, Buffer.from("x")), refused, name);
    }
    assert.equal(await readFile(hostFile, "utf8"), secret);
  });

  test("a folder that is a link is not entered, whatever is below it", async () => {
    await run(sandbox, [
      "sh",
      "-c",
      "ln -s /etc etc; mkdir real; ln -s ../../.. real/out; ln /workspace/plain hard",
    ]);
    for (const path of ["etc/hostname", "real/out/etc/passwd", "/workspace/etc/hosts"]) {
      await assert.rejects(get(path), refused, path);
      await assert.rejects(sandbox.guest.files.put(path, Buffer.from("x")), refused, path);
      await assert.rejects(sandbox.guest.files.remove(path), refused, path);
      await assert.rejects(sandbox.guest.files.rename("plain", path), refused, path);
    }
    await assert.rejects(sandbox.guest.files.list("etc"), refused);
    assert.equal((await get("hard")).toString(), "plain");
  });

  test("putting a file over a link replaces or refuses the link; what it pointed to stays", async () => {
    await run(sandbox, ["sh", "-c", "printf kept > kept; ln -sfn /workspace/kept over; ln -sfn /tmp tmpdir"]);
    await sandbox.guest.files
      .put("over", Buffer.from("written"))
      .catch((error: unknown) => assert.ok(refused(error)));
    assert.equal((await get("kept")).toString(), "kept");
  });

  test("removing a tree with links in it removes the links, not what they name", async () => {
    await run(sandbox, [
      "sh",
      "-c",
      "mkdir -p tree/a; printf x > outside; ln -s ../outside tree/l; ln -s / tree/a/root; ln -s /tmp tree/t; touch /tmp/stays",
    ]);
    await sandbox.guest.files.remove("tree");
    assert.equal((await get("outside")).toString(), "x");
    assert.equal((await run(sandbox, ["ls", "/tmp/stays"])).exitCode, 0);
  });

  test("a link swapped in while a file is fetched never gives another file's bytes", async () => {
    const swap =
      "import os\nwhile True:\n  for one, other in (('turn', 'mine'), ('link', 'turn'), ('turn', 'link'), ('mine', 'turn')):\n    os.rename(one, other)";
    await run(sandbox, ["sh", "-c", "mkdir turn; printf mine > turn/hostname; ln -s /etc link"]);
    const swapping = await sandbox.guest.exec({
      argv: ["python3", "-I", "-c", swap],
      env: {},
      cwd: "/workspace",
      stdin: "none",
    });
    const seen = new Map<string, number>();
    for (let tries = 0; tries < 300 || (seen.size < 3 && tries < 10_000); tries++) {
      const what = await get("turn/hostname").then(String, (error: unknown) => {
        assert.ok(isError(error, "file_refused", "file_unknown"), String(error));
        return error.code;
      });
      seen.set(what, (seen.get(what) ?? 0) + 1);
    }
    assert.deepEqual([...seen.keys()].sort(), ["file_refused", "file_unknown", "mine"]);
    swapping.killTree();
    await swapping.exit;
  });

  test("fifos, sockets and devices are refused at once and block nothing", async () => {
    await run(sandbox, [
      "sh",
      "-c",
      "mkfifo fifo; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"; ls",
    ]);
    for (const [path, reason] of [
      ["fifo", "no regular file"],
      ["sock", "it is a socket"],
    ] as const) {
      await assert.rejects(get(path), refused, path);
      await assert.rejects(get(path), { message: new RegExp(`^${path}: .*${reason}$`) });
      assert.equal((await sandbox.guest.files.stat(path)).type, "other");
    }
    assert.equal((await run(sandbox, ["echo", "on"])).stdout, "on\n");
  });

  test("a huge sparse file, one that grows, and one larger than was asked for end at the bound", async () => {
    // as large as the limit of a file's size allows
    await run(sandbox, ["truncate", "-s", "268435456", "sparse"]);
    await assert.rejects(get("sparse", 1_000), (error) => isError(error, "capacity_exhausted"));
    await sandbox.guest.exec({
      argv: ["sh", "-c", "while :; do echo more >> growing; done"],
      env: {},
      cwd: "/workspace",
      stdin: "none",
    });
    await run(sandbox, ["sh", "-c", "while [ ! -s growing ]; do :; done"]);
    const grown = await get("growing", 100_000).catch((error: unknown) => {
      assert.ok(isError(error, "capacity_exhausted"));
      return Buffer.alloc(0);
    });
    assert.ok(grown.length <= 100_000);
    sandbox.guest.killAll();
  });

  test("a folder of 20,000 files and a deep tree are bounded, and both can be removed", async () => {
    await using big = await room.create();
    const many =
      "import os\nos.mkdir('many')\nfor n in range(20000): os.close(os.open(f'many/{n}', os.O_CREAT))\nos.mkdir('deep'); os.chdir('deep')\nfor n in range(3000): os.mkdir('d' * 20); os.chdir('d' * 20)";
    assert.equal((await run(big, ["python3", "-I", "-c", many])).exitCode, 0);
    await assert.rejects(big.guest.files.list("many"), (error) => isError(error));
    assert.equal((await run(big, ["echo", "on"]).catch(() => undefined))?.stdout, "on\n");
    await big.guest.files.remove("many");
    await big.guest.files.remove("deep");
    assert.deepEqual(await big.guest.files.list("."), []);
  });

  test("names with newlines, escapes and broken UTF-8 are listed without breaking anything", async () => {
    await using odd = await room.create();
    const code =
      "import os\nfor name in (b'new\\nline', b'\\x1b[2J', b'\\xff\\xfe', b' ', b'-rf', b'\\xed\\xa0\\x80'): os.close(os.open(name, os.O_CREAT))";
    await run(odd, ["python3", "-I", "-c", code]);
    assert.equal((await odd.guest.files.list(".")).length, 6);
  });
});
