/** Whole trees of processes: told, reached and gone with what they belong to. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { sleep } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import { collect, isAlive, run, sh, startGuest } from "../helpers/guest-process.ts";

/** Waits, bounded, for something that has no event of its own. */
async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (holds()) return;
    await sleep(10);
  }
  assert.fail(`never: ${what}`);
}

test("exit is told while a child still holds stdout, and killTree ends the stream", async () => {
  await using process = await startGuest();
  const exec = await process.guest.exec(sh("sleep 1000 & echo $!; exit 7"));
  assert.equal((await exec.exit).exitCode, 7);
  const first = await exec.output[Symbol.asyncIterator]().next();
  const child = Number(Buffer.from(first.value?.bytes ?? []).toString());
  assert.ok(isAlive(child));
  exec.killTree();
  await collect(exec);
  await eventually("the child is gone", () => !isAlive(child));
});

test("killTree reaches a daemon that left session, group and parent but holds stdout", async () => {
  await using process = await startGuest();
  const exec = await process.guest.exec(
    sh("(setsid sh -c 'trap \"\" TERM HUP; echo $$; while :; do sleep 1; done' &) ; sleep 0.2; exit 0"),
  );
  await exec.exit;
  exec.killTree();
  const daemon = Number((await collect(exec)).stdout.toString());
  await eventually("the daemon is gone", () => !isAlive(daemon));
});

test("killTree reaches an orphan of the session that prints nothing", async () => {
  await using process = await startGuest();
  const exec = await process.guest.exec(sh("(sleep 1000 >/dev/null 2>&1 & echo $!); sleep 1000"));
  const first = await exec.output[Symbol.asyncIterator]().next();
  const orphan = Number(Buffer.from(first.value?.bytes ?? []).toString());
  assert.ok(isAlive(orphan));
  exec.killTree();
  await exec.exit;
  await eventually("the orphan is gone", () => !isAlive(orphan));
});

test("killTree of one exec leaves another alone", async () => {
  await using process = await startGuest();
  const [one, other] = await Promise.all([
    process.guest.exec(sh("sleep 1000")),
    process.guest.exec(sh("cat", { stdin: "pipe" })),
  ]);
  one.killTree();
  assert.equal((await one.exit).signal, "SIGKILL");
  await other.stdin.write(Buffer.from("alive"));
  other.stdin.end();
  assert.equal((await collect(other)).stdout.toString(), "alive");
});

/** A daemon of the exec that holds none of its output, and tells of every SIGCONT it gets. */
const daemon = `setsid sh -c 'trap "echo >>continued" CONT; echo $$ >pid; while :; do sleep 0.02; done' >/dev/null 2>&1 &`;

test("whoever else runs stands still while killTree looks for holders, and goes on behind it", async () => {
  await using process = await startGuest();
  const told = (name: string): string => {
    const path = join(process.workspace, name);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  };
  const script = `(${daemon}); until [ -s pid ]; do sleep 0.02; done; setsid sleep 1000 &`;
  const exec = await process.guest.exec(sh(script, { cwd: process.workspace }));
  await exec.exit;
  exec.killTree();
  await collect(exec);
  assert.ok(isAlive(Number(told("pid"))));
  await eventually("it goes on", () => told("continued") !== "");
});

test("a signal goes to the whole process group", async () => {
  await using process = await startGuest();
  const exec = await process.guest.exec(sh("sleep 1000 & echo ready; wait"));
  await exec.output[Symbol.asyncIterator]().next();
  exec.signal("SIGTERM");
  await collect(exec);
  assert.equal((await exec.exit).signal, "SIGTERM");
});

test("orphans are reaped", async () => {
  await using process = await startGuest();
  const { stdout } = await run(process, sh("for i in 1 2 3; do (sleep 0.05 & echo $!); done"));
  const orphans = stdout.trim().split("\n").map(Number);
  assert.equal(orphans.length, 3);
  await eventually("no orphan and no zombie is left", () => orphans.every((pid) => !isAlive(pid)));
});

test("the end of the link kills every process, daemons included", async () => {
  await using process = await startGuest();
  const { guest, exited } = process;
  const daemon = "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 & echo $!";
  const exec = await guest.exec(sh(`(${daemon}); echo $$; sleep 1000`));
  let text = "";
  for await (const { bytes } of exec.output) {
    text += Buffer.from(bytes).toString();
    if (text.split("\n").length > 2) break;
  }
  const pids = text.split("\n").slice(0, 2).map(Number);
  assert.ok(pids.every(isAlive));
  guest.close();
  await exited;
  await eventually("every process is gone", () => !pids.some(isAlive));
});

test("when the guest dies every pending call ends with a coded error", async () => {
  await using process = await startGuest();
  const { guest, child } = process;
  const exec = await guest.exec(sh("cat", { stdin: "pipe" }));
  const output = collect(exec);
  child.kill("SIGKILL");
  await assert.rejects(output, (e) => isError(e, "sandbox_lost"));
  await assert.rejects(exec.exit, (e) => isError(e, "sandbox_lost"));
  await assert.rejects(exec.stdin.write(Buffer.from("x")), (e) => isError(e, "sandbox_lost"));
  await assert.rejects(guest.exec(sh("true")), (e) => isError(e, "sandbox_lost"));
  await assert.rejects(guest.files.stat("."), (e) => isError(e, "sandbox_lost"));
  assert.equal(await guest.closed, undefined);
});
