/** A job can neither read nor write the guest's conversation, nor pass for the guest. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom, isSettled, run } from "../helpers/escape.ts";

const skip = await requireEngine();

interface Forged {
  tries: Record<string, string>;
  cmdline: string;
  mine: string[];
  env: Record<string, string>;
}
const shut = (tries: Record<string, string>): void => {
  for (const [name, answer] of Object.entries(tries)) {
    assert.match(answer, /^(EACCES|EPERM|ENOENT|EROFS|ETXTBSY|EINVAL|ENOSYS)$/, `${name}: ${answer}`);
  }
};

describe("guest forgery", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  let found: Forged;
  const secret = randomUUID();
  before(async () => {
    // whatever the worker's own environment holds stays there
    process.env["SALLYPORT_CANARY"] = secret;
    room = await EscapeRoom.open("guest-forgery");
    sandbox = await room.create();
    found = await attempt<Forged>(sandbox, attack("forge"), { env: { TOKEN: "of this job alone" } });
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("no descriptor, memory, environment or folder of PID 1 can be opened, and it cannot be traced", () => {
    assert.ok(Object.keys(found.tries).length > 40);
    shut(found.tries);
  });

  test("the guest's command line and the job's environment hold nothing but what is documented", () => {
    assert.equal(found.cmdline, "/sallyport/guest\0");
    const { TOKEN: _mine, ...env } = found.env;
    assert.deepEqual(
      // the image's own variables are its maker's choice
      Object.keys(env).filter((name) => !/^(PATH|LANG|LC_CTYPE|HOME|HOSTNAME|PWD|PYTHON\w+)$/.test(name)),
      [],
    );
    assert.equal(env["HOSTNAME"] ?? "sandbox", "sandbox");
  });

  test("nothing of the worker's environment is in the job's, or in what the engine keeps", async () => {
    const kept = JSON.stringify(await room.engine.getContainer(sandbox.id).inspect());
    assert.ok(!JSON.stringify(found).includes(secret) && !kept.includes(secret));
    assert.ok(!kept.includes("of this job alone"), "the job's own variables never go through the engine");
  });

  test("a program starts with its three streams and no other descriptor", async () => {
    const { stdout } = await run(sandbox, ["sh", "-c", "ls -l /proc/$$/fd"]);
    const numbers = [...stdout.matchAll(/ (\d+) -> (\S+)/g)].map(([, fd]) => Number(fd));
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      [0, 1, 2],
    );
  });

  test("the variables of one exec are not seen by another", async () => {
    const { stdout } = await run(sandbox, ["sh", "-c", "env; cat /proc/*/environ 2>/dev/null"]);
    assert.doesNotMatch(stdout, /of this job alone/);
  });

  test("bytes that look like frames, records or terminal commands are output and nothing else", async () => {
    // an exit frame (type u8, id u32, length u32), an attach header, escape sequences, log commands
    const forged = Buffer.concat([
      ...Array.from({ length: 40 }, (_, type) => Buffer.from([type, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0])),
      Buffer.from([1, 0, 0, 0, 0, 0, 0, 4, 0x65, 0x78, 0x69, 0x74]),
      Buffer.from(
        '\u001b[2J\u001b]0;title\u0007::set-output name=x::y\r\n\0{"type":"job.exited","exitCode":0}\n',
      ),
    ]);
    await sandbox.guest.files.put("forged", forged);
    const other = await sandbox.guest.exec({ argv: ["sleep", "60"], env: {}, cwd: "/", stdin: "none" });
    const exec = await sandbox.guest.exec({
      argv: ["sh", "-c", "cat forged; cat forged >&2; exit 5"],
      env: {},
      cwd: "/workspace",
      stdin: "none",
    });
    const seen = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    for await (const { stream, bytes } of exec.output) seen[stream].push(Buffer.from(bytes));
    assert.deepEqual(Buffer.concat(seen.stdout), forged);
    assert.deepEqual(Buffer.concat(seen.stderr), forged);
    assert.equal((await exec.exit).exitCode, 5);
    assert.equal(await isSettled(other.exit), false, "it runs on");
    other.killTree();
    await other.exit;
  });

  test("a job's terminal is not the guest's: nothing can be typed into the conversation", async () => {
    const code =
      "import os, fcntl, termios\nfor tty in ('/dev/tty', '/dev/console', '/dev/pts/0'):\n  try: fcntl.ioctl(os.open(tty, os.O_RDWR), termios.TIOCSTI, b'x')\n  except OSError as e: print(type(e).__name__)";
    const exec = await sandbox.guest.exec({
      argv: ["python3", "-I", "-c", code],
      env: {},
      cwd: "/",
      stdin: "none",
      tty: { cols: 80, rows: 24 },
    });
    for await (const _chunk of exec.output);
    await exec.exit;
    assert.equal((await run(sandbox, ["echo", "untouched"])).stdout, "untouched\n");
  });

  test("control: PID 1 that stays dumpable is an open book", async () => {
    const code = attack("forge").at(-1) ?? "";
    const parent = `import subprocess, sys\nsys.exit(subprocess.call(["python3", "-I", "-c", ${JSON.stringify(code)}]))`;
    const open = await attemptIn<Forged>(room, room.sandboxBody(), ["python3", "-I", "-c", parent]);
    assert.equal(open.tries["write fd 1"], "ok");
    assert.equal(open.tries["read environ"], "ok");
    assert.throws(() => shut(open.tries), assert.AssertionError);
  });
});
