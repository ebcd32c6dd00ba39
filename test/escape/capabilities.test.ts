/** The job is nobody, holds no capability and can gain none. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom, run } from "../helpers/escape.ts";

const skip = await requireEngine();

interface Identity {
  status: Record<string, string>;
  tries: Record<string, string>;
  privileged: string[];
}

function powerless({ status, tries }: Identity): void {
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
    assert.match(status[set] ?? "", /^0{16}$/, set);
  assert.equal(status["NoNewPrivs"], "1");
  assert.equal(status["Seccomp"], "2");
  const { chown: _chown, setuid: _setuid, setgid: _setgid, ...others } = tries;
  for (const [name, answer] of Object.entries(others)) assert.match(answer, /^(EPERM|EACCES|EROFS)$/, name);
}

describe("capabilities", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  let found: Identity;
  before(async () => {
    room = await EscapeRoom.open("capabilities");
    sandbox = await room.create();
    found = await attempt<Identity>(sandbox, attack("identity"));
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("all five capability sets are empty, no new privileges, a filter is in force", () => {
    powerless(found);
  });

  test("every identity is user and group 1000, without another group", () => {
    assert.equal(found.status["Uid"], "1000\t1000\t1000\t1000");
    assert.equal(found.status["Gid"], "1000\t1000\t1000\t1000");
    assert.match(found.status["Groups"] ?? "none", /^(1000)?$/);
    for (const name of ["setuid", "setgid", "chown"]) assert.equal(found.tries[name], "EPERM", name);
  });

  test("no program in the image has a set-user-id bit or capabilities of its own", () => {
    assert.deepEqual(
      found.privileged.filter((path) => !path.startsWith("/workspace/")),
      [],
    );
  });

  test("a set-user-id program of the job's own changes nothing", async () => {
    const ran = await run(sandbox, [
      "sh",
      "-c",
      "cp /usr/bin/id mine && chmod 6755 mine && ./mine -u && ./mine -g",
    ]);
    assert.equal(ran.stdout, "1000\n1000\n");
  });

  test("the guest itself is as powerless as the job", async () => {
    const { stdout } = await run(sandbox, ["grep", "-E", "^(Uid|Cap|NoNewPrivs)", "/proc/1/status"]);
    assert.match(stdout, /^Uid:\t1000\t1000\t1000\t1000$/m);
    assert.equal([...stdout.matchAll(/^Cap\w+:\t0{16}$/gm)].length, 5);
    assert.match(stdout, /^NoNewPrivs:\t1$/m);
  });

  test("root with the sandbox's settings is powerless too", async () => {
    const body = room.sandboxBody((change) => (change.User = "0:0"));
    powerless(await attemptIn<Identity>(room, body, attack("identity")));
  });

  test("control: without the settings the same look finds capabilities", async () => {
    const open = await attemptIn<Identity>(room, room.openBody(), [
      "sh",
      "-c",
      'mkdir -p /workspace; exec "$@"',
      "sh",
      ...attack("identity"),
    ]);
    assert.throws(() => powerless(open), assert.AssertionError);
    assert.equal(open.status["NoNewPrivs"], "0");
    assert.equal(open.tries["chroot"], "ok");
  });
});
