/** The kernel's doors a program does not need are closed. */
import assert from "node:assert/strict";
import { arch } from "node:os";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom, run, stillServes } from "../helpers/escape.ts";

const skip = await requireEngine();

interface Answers {
  calls: Record<string, string>;
  sockets: Record<string, string>;
}
const unix = 1;
const inet = 2;
const inet6 = 10;

const opened = (calls: Record<string, string>): string[] =>
  Object.entries(calls)
    .filter(([name, answer]) => !/^(32-bit|x32) /.test(name) && !/^(EPERM|ENOSYS)$/.test(answer))
    .map(([name, answer]) => `${name}: ${answer}`);

const families = (sockets: Record<string, string>): Set<number> =>
  new Set(
    Object.entries(sockets)
      .filter(([, answer]) => answer === "ok")
      .map(([name]) => Number(name.split(" ")[0])),
  );

describe("seccomp", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  let found: Answers;
  before(async () => {
    room = await EscapeRoom.open("seccomp");
    sandbox = await room.create();
    found = await attempt<Answers>(sandbox, attack("syscalls"));
  });
  after(async () => {
    await stillServes(room);
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("no namespace, mount, key, module, trace, ring, clock or host-wide call gets past the filter", () => {
    assert.ok(Object.keys(found.calls).length > 80);
    assert.deepEqual(opened(found.calls), []);
  });

  test("only UNIX, IPv4, IPv6 and route sockets can be made, of all families, types and protocols", () => {
    assert.deepEqual(
      [...families(found.sockets)].sort((a, b) => a - b),
      [unix, inet, inet6, 16],
    );
    const netlink = Object.entries(found.sockets).filter(([name]) => name.startsWith("16 "));
    for (const [name, answer] of netlink) {
      if (!name.endsWith(" 0")) assert.equal(answer, "EPERM", name);
    }
    for (const family of [17, 21, 30, 33, 38, 40, 44])
      assert.equal(found.sockets[`${family} stream 0`], "EPERM");
  });

  test("32-bit calls end the program before the kernel acts", { skip: arch() !== "x64" }, () => {
    assert.match(found.calls["32-bit socketcall(AF_VSOCK)"] ?? "", /^SIG(SYS|SEGV)$/);
    assert.match(found.calls["32-bit getpid"] ?? "", /^SIG(SYS|SEGV)$/);
    assert.match(found.calls["x32 getpid"] ?? "", /^(EPERM|ENOSYS|SIGSYS)$/);
  });

  test("the sandbox still works after every attack", async () => {
    assert.equal((await run(sandbox, ["sh", "-c", "echo on"])).stdout, "on\n");
  });

  test("control: without a filter, namespaces, keys, rings and other sockets are there", async () => {
    const body = room.sandboxBody(({ HostConfig }) => {
      HostConfig.SecurityOpt = ["no-new-privileges:true", "seccomp=unconfined"];
    });
    // the calls that would reach the host are left out: without the filter only missing capabilities stop them
    const harmless = [
      "unshare user",
      "personality ADDR_NO_RANDOMIZE",
      "keyctl",
      "ptrace traceme",
      "clone user",
    ];
    const open = await attemptIn<Answers>(room, body, attack("syscalls", JSON.stringify(harmless)));
    assert.ok(opened(open.calls).length >= 3, JSON.stringify(open.calls));
    assert.ok(families(open.sockets).size > 4);
  });
});
