import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { sleep } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import type { ExecSpec } from "../../src/sandbox/contract.ts";
import { collect, run, sh, startGuest } from "../helpers/guest-process.ts";

test("stdout and stderr stay apart and the exit code is told", async () => {
  await using process = await startGuest();
  const { exec, stdout, stderr } = await run(process, sh("echo out; echo err >&2; exit 3"));
  assert.deepEqual([stdout, stderr], ["out\n", "err\n"]);
  const { exitCode, signal, usage } = await exec.exit;
  assert.deepEqual([exitCode, signal], [3, null]);
  assert.ok(usage.maxRssBytes > 0 && usage.cpuMs >= 0);
});

test("the death by a signal is told by its name", async () => {
  await using process = await startGuest();
  const { exec } = await run(process, sh("kill -9 $$"));
  assert.equal((await exec.exit).signal, "SIGKILL");
  assert.equal((await exec.exit).exitCode, null);
});

test("usage counts the processor time of children that were waited for", async () => {
  await using process = await startGuest();
  const spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
  const { exec } = await run(process, sh(`sh -c '${spin}'`));
  assert.ok((await exec.exit).usage.cpuMs > 20);
});

test("every byte value goes both ways unchanged", async () => {
  await using process = await startGuest();
  const bytes = Buffer.concat([Buffer.from([0, 0xff, 0xc3, 0x28, 10, 0]), randomBytes(100_000)]);
  const exec = await process.guest.exec({ argv: ["cat"], env: {}, cwd: "/", stdin: "pipe" });
  const written = exec.stdin.write(bytes).then(() => exec.stdin.end());
  const { stdout } = await collect(exec);
  await written;
  assert.ok(stdout.equals(bytes));
});

test("200 MB through cat agree in their digest", async () => {
  await using process = await startGuest();
  const exec = await process.guest.exec({ argv: ["cat"], env: {}, cwd: "/", stdin: "pipe" });
  const [sent, received] = [createHash("sha256"), createHash("sha256")];
  const block = randomBytes(1_000_000);
  const feed = async (): Promise<void> => {
    for (let i = 0; i < 200; i++) {
      block.writeUInt32BE(i, 0);
      const copy = Buffer.from(block);
      sent.update(copy);
      await exec.stdin.write(copy);
    }
    exec.stdin.end();
  };
  const fed = feed();
  let bytes = 0;
  for await (const chunk of exec.output) {
    received.update(chunk.bytes);
    bytes += chunk.bytes.length;
  }
  await fed;
  assert.equal(bytes, 200_000_000);
  assert.equal(received.digest("hex"), sent.digest("hex"));
});

test("a program without stdin reads the end at once", async () => {
  await using process = await startGuest();
  const { stdout } = await run(process, sh("cat; echo done"));
  assert.equal(stdout, "done\n");
});

test(
  "writing to a program that closed its stdin is refused and harms nothing",
  { timeout: 20_000 },
  async () => {
    await using process = await startGuest();
    const script = "exec <&-; echo closed; while [ ! -e told ]; do sleep 0.02; done; echo still here";
    const exec = await process.guest.exec(sh(script, { stdin: "pipe", cwd: process.workspace }));
    const endless = async (): Promise<void> => {
      for (;;) await exec.stdin.write(Buffer.alloc(64 * 1024));
    };
    await assert.rejects(endless(), (error) => isError(error, "stdin_closed"));
    await process.guest.files.put("told", Buffer.of());
    assert.equal((await collect(exec)).stdout.toString(), "closed\nstill here\n");
    assert.equal((await exec.exit).exitCode, 0);
  },
);

test("stdin of a program that ended is refused", async () => {
  await using process = await startGuest();
  const { exec } = await run(process, sh("true", { stdin: "pipe" }));
  await exec.exit;
  await assert.rejects(exec.stdin.write(Buffer.from("late")), (error) => isError(error, "stdin_closed"));
  exec.stdin.end();
  exec.killTree();
  exec.signal("SIGTERM");
  assert.equal((await run(process, sh("echo next"))).stdout, "next\n");
});

test("environment: the guest's own, with the exec's over it", async () => {
  await using process = await startGuest({ KEPT: "1", OVER: "guest" });
  const { stdout } = await run(
    process,
    sh('echo "$KEPT $OVER $MINE"', { env: { OVER: "exec", MINE: "a=b c" } }),
  );
  assert.equal(stdout, "1 exec a=b c\n");
});

test("a terminal: one stream, its size, its resize, and an end by end()", async () => {
  await using process = await startGuest();
  const script =
    "test -t 0 && test -t 1 && stty size; trap 'stty size' WINCH; read a; stty size; cat; echo over >&2";
  const exec = await process.guest.exec(sh(script, { stdin: "pipe", tty: { cols: 100, rows: 40 } }));
  let seen = "";
  for await (const { stream, bytes } of exec.output) {
    assert.equal(stream, "stdout");
    const before = seen;
    seen += Buffer.from(bytes).toString();
    if (!before.includes("40 100") && seen.includes("40 100")) {
      exec.resize({ cols: 81, rows: 25 });
      await exec.stdin.write(Buffer.from("go\n"));
      exec.stdin.end();
    }
  }
  assert.match(seen, /40 100\r\n/);
  assert.match(seen, /25 81\r\n/);
  assert.match(seen, /over\r\n$/);
  assert.equal((await exec.exit).exitCode, 0);
});

test("a stalled reader stops its own program and nobody else's", async () => {
  await using process = await startGuest();
  const stalled = await process.guest.exec(sh("yes"));
  await sleep(100);
  const { stdout } = await run(process, sh("head -c 20000000 /dev/zero | wc -c; head -c 5000000 /dev/zero"));
  assert.equal(stdout.length, "20000000\n".length + 5_000_000);
  let taken = 0;
  for await (const { bytes } of stalled.output) {
    taken += bytes.length;
    if (taken > 3_000_000) break;
  }
  stalled.killTree();
  assert.equal((await stalled.exit).signal, "SIGKILL");
});

test("many programs at once each get their own answer", async () => {
  await using process = await startGuest();
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, i) => run(process, sh(`echo ${i}; exit ${i}`))),
  );
  for (const [i, { exec, stdout }] of results.entries()) {
    assert.equal(stdout, `${i}\n`);
    assert.equal((await exec.exit).exitCode, i);
  }
});

test("a command that is not there, or cannot be run, or has no such folder to start in", async () => {
  await using process = await startGuest();
  const { guest } = process;
  const plain = { env: {}, cwd: "/", stdin: "none" } as const;
  await guest.files.put("data.txt", Buffer.from("no program"));
  await assert.rejects(guest.exec({ ...plain, argv: ["no-such-command"] }), (e) =>
    isError(e, "command_not_found"),
  );
  await assert.rejects(guest.exec({ ...plain, argv: ["/no/such"] }), (e) => isError(e, "command_not_found"));
  const file = `${process.workspace}/data.txt`;
  await assert.rejects(guest.exec({ ...plain, argv: [file] }), (e) => isError(e, "command_not_executable"));
  await assert.rejects(guest.exec({ ...plain, argv: ["/"] }), (e) => isError(e, "command_not_executable"));
  const missing = guest.exec({ ...plain, argv: ["true"], cwd: "/no/such/folder" });
  await assert.rejects(missing, (e) => isError(e, "request_invalid") && e.details["field"] === "cwd");
  assert.equal((await run(process, sh("echo fine"))).stdout, "fine\n");
});

test("requests that cannot be said are refused before they are sent", async () => {
  await using process = await startGuest();
  const { guest } = process;
  const bad: Partial<ExecSpec>[] = [
    { argv: [] },
    { argv: ["a\0b"] },
    { cwd: "relative" },
    { env: { "A=B": "1" } },
    { env: { "": "1" } },
    { argv: ["echo", "x".repeat(2_000_000)] },
  ];
  for (const part of bad)
    await assert.rejects(guest.exec(sh("true", part)), (e) => isError(e, "request_invalid"));
  const huge = guest.exec(sh("true", { argv: ["echo", "x".repeat(500_000)] }));
  await assert.rejects(huge, (e) => isError(e, "request_invalid"));
  assert.equal(
    (await run(process, sh("true", { argv: ["printf", "%s", "x".repeat(100_000)] }))).stdout.length,
    100_000,
  );
});

test("a program has descriptors 0, 1 and 2, default signals and a session of its own", async () => {
  await using process = await startGuest();
  const { stdout } = await run(
    process,
    sh(
      "ls /proc/self/fd | tr '\\n' ' '; grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2 | tr '\\n' ' '; ps -o sid= -p $$",
    ),
  );
  const zeros = "0000000000000000";
  // 3 is the folder that ls itself has open.
  assert.match(stdout, new RegExp(`^0 1 2 3 ${zeros} ${zeros} +\\d+\\n$`));
});

test("a program can neither read nor write the guest's pipes", async () => {
  await using process = await startGuest();
  const { pid } = process;
  const script = `ls /proc/${pid}/fd; cat /proc/${pid}/environ; echo forged > /proc/${pid}/fd/1; cat /proc/${pid}/mem | head -c 1`;
  const { stdout, stderr } = await run(process, sh(script));
  assert.equal(stdout, "");
  assert.equal(stderr.match(/Permission denied/g)?.length, 4);
  assert.equal((await run(process, sh("echo whole"))).stdout, "whole\n");
});
