/** A job names no place outside its sandbox: not as a working directory, not as a file, not as an option of the engine. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isError } from "../../src/errors.ts";
import { jobRequestSchema, sandboxPath } from "../../src/protocol/index.ts";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { EscapeRoom, run } from "../helpers/escape.ts";

const skip = await requireEngine();

const badNames = [
  "../../x",
  "..",
  ".",
  "",
  "/etc/passwd",
  "a/../../b",
  "a//b",
  "a/",
  "/",
  "..\\x",
  "C:\\x",
  "a\0b",
  "./a",
  "n".repeat(256),
  "d/".repeat(3000) + "x",
];
const goodNames = ["..foo", "a/..b/c", "foo..", "a b", "-rf", "ünï", "*", "n".repeat(255)];

describe("path refusals", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  before(async () => {
    room = await EscapeRoom.open("path-refusals");
    sandbox = await room.create("shell");
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("a job's file names are refused on arrival, before any sandbox is made; `..foo` is a name like any other", () => {
    const accepted = (path: string): boolean => sandboxPath.safeParse(path).success;
    assert.deepEqual(badNames.filter(accepted), []);
    assert.deepEqual(
      goodNames.filter((name) => !accepted(name)),
      [],
    );
  });

  test("a job that names a working directory, an image or an engine option is refused for the unknown key", () => {
    const job = { profile: "shell", command: ["true"] };
    assert.equal(jobRequestSchema.safeParse(job).success, true);
    const keys =
      "cwd workdir WorkingDir image HostConfig Binds Privileged NetworkMode PidMode Devices SecurityOpt user".split(
        " ",
      );
    for (const key of keys) {
      assert.equal(jobRequestSchema.safeParse({ ...job, [key]: "/proc/self/fd/3" }).success, false, key);
    }
    for (const text of ['{"__proto__":{"x":1}}', '{"constructor":{"prototype":{"x":1}}}']) {
      const hostile = { ...(JSON.parse(text) as object), ...job };
      const parsed = jobRequestSchema.safeParse(JSON.parse(JSON.stringify(hostile)));
      if (parsed.success) assert.equal(({} as { x?: number }).x, undefined);
    }
  });

  test("the guest refuses the same names again, and its folders end at the sandbox's own", async () => {
    const { files } = sandbox.guest;
    const outside = [
      "/etc/x",
      "/proc/self/environ",
      "/proc/1/environ",
      "/dev/shm/x",
      "/workspace/../etc/passwd",
      "/workspacex/y",
      "/sallyport/guest",
    ];
    // a name of this length is the kernel's to refuse
    for (const path of [
      ...badNames.filter((name) => name !== "." && name !== "..\\x" && name !== "C:\\x"),
      ...outside,
    ]) {
      const refused = (error: unknown): boolean => isError(error, "file_refused", "file_unknown");
      await assert.rejects(files.put(path, Buffer.from("x")), refused, `put ${path.slice(0, 40)}`);
      await assert.rejects(Array.fromAsync(files.get(path, 100)), refused, `get ${path.slice(0, 40)}`);
      await assert.rejects(files.rename("here", path), refused, `rename to ${path.slice(0, 40)}`);
    }
    for (const name of goodNames) {
      await files.put(name, Buffer.from(name));
      assert.equal(Buffer.concat(await Array.fromAsync(files.get(name, 1_000))).toString(), name);
    }
  });

  test("a working directory with a NUL, a relative one and an endless one are refused before they are tried", async () => {
    const exec = async (cwd: string) =>
      await sandbox.guest.exec({ argv: ["true"], env: {}, cwd, stdin: "none" });
    for (const cwd of ["../../..", "workspace", "", "/work\0space"]) {
      await assert.rejects(exec(cwd), (error) => isError(error, "request_invalid"), JSON.stringify(cwd));
    }
    await assert.rejects(exec(`/${"d".repeat(5_000)}`));
    await assert.rejects(exec("/nowhere"));
  });

  test("no descriptor is a way out: every /proc/self/fd and /proc/1 folder is closed or one of the sandbox's own", async () => {
    const places = [
      ...Array.from({ length: 30 }, (_, fd) => `/proc/self/fd/${fd}`),
      "/proc/1/cwd",
      "/proc/1/root",
      "/proc/1/fd/7",
    ];
    const entered: string[] = [];
    for (const cwd of places) {
      const ran = await run(sandbox, ["pwd", "-P"], { cwd }).catch(() => undefined);
      if (ran !== undefined) entered.push(ran.stdout.trim());
    }
    assert.deepEqual(
      entered.filter((path) => !["/workspace", "/tmp", "/run/sallyport"].includes(path)),
      [],
    );
  });

  test("the engine is given the same working directory for every sandbox", async () => {
    const { Config } = await room.engine.getContainer(sandbox.id).inspect();
    assert.equal(Config.WorkingDir, "/workspace");
  });
});
