import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isError, type ErrorCode } from "../../src/errors.ts";
import { startGuest, type GuestProcess } from "../helpers/guest-process.ts";

const some = Buffer.from("some bytes");

async function read(process: GuestProcess, path: string, max = 1_000_000_000): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(process.guest.files.get(path, max)));
}

async function refused(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => isError(error, code) || assert.fail(String(error)));
}

/** Makes something in the workspace as the sandbox's own user would. */
function inWorkspace(process: GuestProcess, script: string): void {
  const user = globalThis.process.getuid?.() === 0 ? { uid: 1000, gid: 1000 } : {};
  execFileSync("sh", ["-c", script], { cwd: process.workspace, ...user });
}

test("a file goes in and comes out byte-exact, with its mode and its missing folders", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  const bytes = randomBytes(3_000_001);
  await files.put("a/b/..foo", bytes, 0o750);
  assert.ok((await read(process, "a/b/..foo")).equals(bytes));
  assert.ok((await read(process, `${process.workspace}/a/b/..foo`)).equals(bytes));
  const stat = await files.stat("a/b/..foo");
  assert.deepEqual([stat.path, stat.type, stat.size, stat.mode], ["a/b/..foo", "file", bytes.length, 0o750]);
  assert.ok(Math.abs(stat.mtime - Date.now()) < 60_000);
  assert.deepEqual(readdirSync(join(process.workspace, "a/b")), ["..foo"]);
});

test("an empty file, a file replaced, and a file from a stream", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  await files.put("f", Buffer.alloc(0));
  assert.equal((await read(process, "f")).length, 0);
  await files.put("f", some);
  const stream = async function* (): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 100; i++) yield Buffer.alloc(10_000, i);
  };
  await files.put("f", stream());
  assert.equal((await read(process, "f")).length, 1_000_000);
});

test("a put whose source fails leaves nothing behind", async () => {
  await using process = await startGuest();
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(100_000);
    throw new Error("source broke");
  };
  await assert.rejects(process.guest.files.put("f", failing()), /source broke/);
  assert.deepEqual(readdirSync(process.workspace), []);
});

test("paths that lead outside are refused and nothing outside changes", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  const bad = ["../x", "a/../../x", "..", ".", "", "a//b", "a/", "./a", "a/./b", "/etc/x", "/", "a\0b"];
  bad.push(`${process.workspace}-evil`, `${process.workspace}/../x`, "x".repeat(256), "x/".repeat(3000));
  mkdirSync(`${process.workspace}-evil`, { mode: 0o777 });
  for (const path of bad) await refused(files.put(path, some), "file_refused");
  assert.deepEqual(readdirSync(`${process.workspace}-evil`), []);
  assert.deepEqual(readdirSync(process.workspace), []);
  for (const path of ["/etc/passwd", "../../../etc/passwd"]) {
    await refused(read(process, path), "file_refused");
    await refused(files.stat(path), "file_refused");
    await refused(files.list(path), "file_refused");
    await refused(files.remove(path), "file_refused");
    await refused(files.rename(path, "a"), "file_refused");
  }
});

test("the second root is reached by its absolute path", async () => {
  await using process = await startGuest();
  await process.guest.files.put(`${process.tmp}/t`, some);
  assert.deepEqual(readFileSync(`${process.tmp}/t`), some);
  await refused(process.guest.files.remove(process.tmp), "file_refused");
});

test("links are never followed, wherever they stand in a path", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  const { workspace } = process;
  symlinkSync("/etc/passwd", join(workspace, "file"));
  symlinkSync("/etc", join(workspace, "folder"));
  symlinkSync("loop", join(workspace, "loop"));
  symlinkSync("nowhere", join(workspace, "dangling"));
  symlinkSync("/proc/self/environ", join(workspace, "environ"));
  for (const name of ["file", "loop", "dangling", "environ"]) {
    await refused(read(process, name), "file_refused");
    await refused(files.put(name, some), "file_refused");
    assert.equal((await files.stat(name)).type, "link");
  }
  for (const path of ["folder/passwd", "loop/x"]) {
    await refused(read(process, path), "file_refused");
    await refused(files.put(path, some), "file_refused");
    await refused(files.stat(path), "file_refused");
    await refused(files.mkdir(path), "file_refused");
    await refused(files.remove(path), "file_refused");
  }
  await refused(files.list("folder"), "file_refused");
  await refused(files.mkdir("folder"), "file_refused");
  await files.remove("folder");
  assert.ok(existsSync("/etc/passwd"));
});

test("what is no regular file is refused at once: a fifo, a folder", async () => {
  await using process = await startGuest();
  inWorkspace(process, "mkfifo fifo; mkdir folder");
  await refused(read(process, "fifo"), "file_refused");
  await refused(read(process, "folder"), "file_refused");
  await refused(process.guest.files.put("fifo", some), "file_refused");
  await refused(process.guest.files.put("folder", some), "file_refused");
  assert.equal((await process.guest.files.stat("fifo")).type, "other");
});

test("a file above the limit is refused: plain, sparse, growing", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  await files.put("f", Buffer.alloc(1001));
  await refused(read(process, "f", 1000), "capacity_exhausted");
  assert.equal((await read(process, "f", 1001)).length, 1001);
  await files.put("sparse", some);
  truncateSync(join(process.workspace, "sparse"), 100 * 2 ** 30);
  await refused(read(process, "sparse", 2 ** 20), "capacity_exhausted");
  await files.put("grows", Buffer.alloc(1_900_000));
  const growing = async (): Promise<void> => {
    for await (const bytes of files.get("grows", 2_000_000)) {
      truncateSync(join(process.workspace, "grows"), 3_000_000);
      assert.ok(bytes.length > 0);
    }
  };
  await refused(growing(), "capacity_exhausted");
});

test("a reader that stops early frees the guest for the next call", async () => {
  await using process = await startGuest();
  await process.guest.files.put("f", Buffer.alloc(20_000_000));
  for (let i = 0; i < 100; i++) {
    for await (const bytes of process.guest.files.get("f", 20_000_000)) {
      assert.ok(bytes.length > 0);
      break;
    }
  }
  assert.equal((await read(process, "f")).length, 20_000_000);
});

test("gets beside a program that floods its output both go on", async () => {
  await using process = await startGuest();
  await process.guest.files.put("f", Buffer.alloc(20_000_000));
  const exec = await process.guest.exec({ argv: ["yes"], env: {}, cwd: "/", stdin: "none" });
  let flood = 0;
  const consume = async (): Promise<void> => {
    for await (const { bytes } of exec.output) flood += bytes.length;
  };
  const consumed = consume();
  assert.equal((await read(process, "f")).length, 20_000_000);
  const before = flood;
  // one get may be over before the program has had a processor
  const moved = (): boolean => flood > before;
  for (let tries = 0; tries < 100 && !moved(); tries++)
    assert.equal((await read(process, "f")).length, 20_000_000);
  assert.ok(moved());
  exec.killTree();
  await consumed;
});

test("list tells what a folder holds, without following links", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  await files.put("d/b.csv", some);
  await files.mkdir("d/sub/deeper");
  symlinkSync("/etc", join(process.workspace, "d/a-link"));
  const entries = await files.list("d");
  assert.deepEqual(
    entries.map(({ path, type }) => [path, type]),
    [
      ["d/a-link", "link"],
      ["d/b.csv", "file"],
      ["d/sub", "directory"],
    ],
  );
  assert.deepEqual(
    (await files.list(".")).map(({ path }) => path),
    ["d"],
  );
  await refused(files.list("d/b.csv"), "file_refused");
  await refused(files.list("missing"), "file_unknown");
});

test("a listing is bounded", async () => {
  await using process = await startGuest();
  inWorkspace(process, "mkdir many && cd many && seq 1 9000 | xargs touch");
  assert.equal((await process.guest.files.list("many")).length, 9000);
  inWorkspace(process, "cd many && seq 9001 10001 | xargs touch");
  await refused(process.guest.files.list("many"), "capacity_exhausted");
});

test("remove takes a whole tree: wide, deep, without permissions, links and all", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  inWorkspace(
    process,
    `mkdir -p t/a t/b/c && cd t && seq 1 3000 | xargs touch && ln -s /etc a/out && touch b/c/f && chmod 0 b/c && chmod 500 a
     i=0; while [ $i -lt 1500 ]; do mkdir d && cd -P d; i=$((i+1)); done`,
  );
  await files.remove("t");
  assert.ok(!existsSync(join(process.workspace, "t")));
  assert.ok(existsSync("/etc/passwd"));
  await refused(files.remove("t"), "file_unknown");
});

test("other calls are answered while a removal goes on", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  inWorkspace(process, "mkdir t && cd t && seq 1 20000 | xargs touch");
  const order: string[] = [];
  await Promise.all([
    files.remove("t").then(() => order.push("removed")),
    files.mkdir("m").then(() => order.push("made")),
  ]);
  assert.deepEqual(order, ["made", "removed"]);
});

test("mkdir makes the whole way and is content with what is there", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  await files.mkdir("a/b/c");
  await files.mkdir("a/b/c");
  assert.ok(statSync(join(process.workspace, "a/b/c")).isDirectory());
  await files.put("a/f", some);
  await refused(files.mkdir("a/f"), "file_refused");
  await refused(files.mkdir("a/f/g"), "file_refused");
});

test("rename moves within the roots only", async () => {
  await using process = await startGuest();
  const { files } = process.guest;
  await files.put("from", some);
  await files.rename("from", "to");
  assert.deepEqual(await read(process, "to"), some);
  await refused(files.rename("from", "to"), "file_unknown");
  await refused(files.rename("to", "/etc/to"), "file_refused");
  await refused(files.rename("to", "../to"), "file_refused");
});

test(
  "what the sandbox's user may not touch is refused",
  { skip: globalThis.process.getuid?.() !== 0 && "needs root" },
  async () => {
    await using process = await startGuest();
    const { files } = process.guest;
    mkdirSync(join(process.workspace, "roots"), { mode: 0o700 });
    writeFileSync(join(process.workspace, "roots-file"), "secret", { mode: 0o600 });
    chownSync(join(process.workspace, "roots"), 0, 0);
    await refused(read(process, "roots-file"), "file_refused");
    await refused(files.put("roots/f", some), "file_refused");
    await refused(files.list("roots"), "file_refused");
  },
);
