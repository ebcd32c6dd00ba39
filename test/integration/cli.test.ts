import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ended, pseudoRandomBytes, startCli, type CliRig } from "./cli-rig.ts";

let rig: CliRig;
before(async () => {
  rig = await startCli();
});
after(async () => {
  await rig[Symbol.asyncDispose]();
});

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`waited in vain for ${what}`);
}

test("a command's stdout and exit code come through", async () => {
  assert.deepEqual(await rig.run(["run", "--", "echo", "42"]), {
    code: 0,
    stdout: Buffer.from("42\n"),
    stderr: "",
  });
  assert.equal((await rig.run(["run", "--", "exit", "3"])).code, 3);
});

test("stderr stays apart from stdout", async () => {
  const { code, stdout, stderr } = await rig.run(["run", "--", "stderr", "oops"]);
  assert.deepEqual([code, stdout.length, stderr], [0, 0, "oops\n"]);
});

test("any bytes come out as they were printed, NUL and invalid UTF-8 included", async () => {
  const { code, stdout } = await rig.run(["run", "--", "bytes", "3000000", "7"]);
  assert.equal(code, 0);
  assert.equal(sha256(stdout), sha256(pseudoRandomBytes(3_000_000, 7)));
});

test("50 MB of stdin come back whole", async () => {
  const input = pseudoRandomBytes(50_000_000, 3);
  const { code, stdout } = await rig.run(["run", "--", "cat"], input);
  assert.equal(code, 0);
  assert.equal(stdout.length, input.length);
  assert.equal(sha256(stdout), sha256(input));
});

test("an empty stdin ends the program's stdin", async () => {
  assert.equal((await rig.run(["run", "--", "cat"], Buffer.alloc(0))).code, 0);
});

test("a program that does not read its stdin does not hold the command up", async () => {
  const { code, stderr } = await rig.run(["run", "--", "true"], Buffer.alloc(20_000_000));
  assert.deepEqual([code, stderr], [0, ""]);
});

test("an open stdin that nobody writes to does not hold the command up", async () => {
  const child = rig.start(["run", "--", "echo", "1"]);
  const { code, stdout } = await ended(child);
  assert.deepEqual([code, stdout.toString()], [0, "1\n"]);
  child.stdin.destroy();
});

test("--json ends stdout with the result on its own line", async () => {
  const { code, stdout } = await rig.run(["run", "--json", "--", "exit", "9"]);
  assert.equal(code, 9);
  const result = JSON.parse(stdout.toString().trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
  assert.equal(result["state"], "failed");
  assert.equal(result["exitCode"], 9);
  assert.match(String(result["id"]), /^job_/);
});

test("a timeout exits 124, out of memory 137, too much output 137, no such command 127", async () => {
  assert.equal((await rig.run(["run", "--timeout", "300ms", "--", "sleep", "60000"])).code, 124);
  const oom = await rig.run(["run", "--json", "--", "oom"]);
  assert.equal(oom.code, 137);
  assert.equal((JSON.parse(oom.stdout.toString()) as { reason: string }).reason, "oom");
  const loud = await rig.run(["run", "--profile", "tiny", "--", "yes"]);
  assert.equal(loud.code, 137);
  assert.match(loud.stderr, /printed more than its profile allows/);
  assert.equal((await rig.run(["run", "--", "no-such-program"])).code, 127);
});

test("inputs go in and artifacts come out", async () => {
  await writeFile(join(rig.dir, "in.txt"), "in\0put");
  const read = await rig.run(["run", "--input", "in.txt:data/x", "--", "read", "data/x"]);
  assert.equal(read.stdout.toString(), "in\0put");
  const write = await rig.run(["run", "--output", "out/y.txt:got.txt", "--", "write", "out/y.txt", "a", "b"]);
  assert.equal(write.code, 0);
  assert.equal(await readFile(join(rig.dir, "got.txt"), "utf8"), "a b");
  const none = await rig.run(["run", "--output", "none.txt", "--", "true"]);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /error: --output none\.txt/);
});

test("Ctrl-C exits 130, the job is cancelled and its sandbox gone", async () => {
  const child = rig.start(["run", "--", "hang"]);
  await new Promise((resolve) => child.stdout.once("data", resolve));
  assert.equal(rig.driver.engine.sandboxes.size, 1);
  const over = ended(child);
  child.kill("SIGINT");
  const { code } = await over;
  assert.equal(code, 130);
  await until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
  const [last] = (await rig.client.jobs.list({ limit: 1 })).jobs;
  assert.equal(last?.state, "cancelled");
});

test("a second Ctrl-C leaves at once", async () => {
  const child = rig.start(["run", "--", "hang"]);
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const over = ended(child);
  child.kill("SIGINT");
  await until(
    async () => (await rig.client.jobs.list({ limit: 1 })).jobs[0]?.cancelRequested === true,
    "the cancel",
  );
  child.kill("SIGINT");
  assert.equal((await over).code, 130);
  await until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
});

test("a reader of stdout that leaves ends the job quietly", async () => {
  const child = rig.start(["run", "--", "yes"]);
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const code = new Promise((resolve) => child.once("exit", resolve));
  child.stdout.destroy();
  assert.equal(await code, 141);
  await until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
});

test("a detached job is shown, listed, followed and cancelled by its id", async () => {
  const { stdout } = await rig.run(["run", "--detach", "--", "hang"]);
  const id = stdout.toString().trim();
  const follower = rig.start(["jobs", "logs", "-f", id]);
  await new Promise((resolve) => follower.stdout.once("data", resolve));
  const over = ended(follower);
  assert.match((await rig.run(["jobs", "ls", "--state", "running"])).stdout.toString(), new RegExp(id));
  assert.equal((await rig.run(["jobs", "cancel", id])).code, 0);
  assert.equal((await over).code, 130);
  assert.match((await rig.run(["jobs", "show", id])).stdout.toString(), /state +cancelled/);
  assert.equal((await rig.run(["jobs", "logs", id])).stdout.toString(), "ready\n");
});

test("workers, profiles and routes are listed", async () => {
  assert.match((await rig.run(["workers", "ls"])).stdout.toString(), /worker-cli +ready +8\/8/);
  const profiles = JSON.parse((await rig.run(["profiles", "ls", "--json"])).stdout.toString()) as {
    profiles: { name: string }[];
  };
  assert.deepEqual(
    profiles.profiles.map(({ name }) => name),
    ["shell", "tiny"],
  );
  assert.match((await rig.run(["profiles", "show", "tiny"])).stdout.toString(), /output +1MiB/);
  assert.equal((await rig.run(["routes", "ls"])).code, 0);
});

test("what is wrong is told with a code of its own", async () => {
  const unknown = await rig.run(["run", "--profile", "nope", "--", "true"]);
  assert.equal(unknown.code, 125);
  assert.match(unknown.stderr, /^error: .*nope/);
  const missing = await rig.run(["jobs", "show", "job_00000000000000000000000000"]);
  assert.equal(missing.code, 1);
  const usage = await rig.run(["run", "--what"]);
  assert.equal(usage.code, 2);
  await writeFile(join(rig.dir, "wrong.key"), "sp_wrong", { mode: 0o600 });
  const denied = await rig.run(["run", "--json", "--key-file", "wrong.key", "--", "true"]);
  assert.equal(denied.code, 125);
  assert.equal((JSON.parse(denied.stderr) as { error: { code: string } }).error.code, "unauthenticated");
  assert.doesNotMatch(denied.stderr, /sp_wrong/);
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const url = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
  await new Promise((resolve) => closed.close(resolve));
  const gone = await rig.run(["run", "--hub", url, "--", "true"]);
  assert.equal(gone.code, 125);
  assert.match(gone.stderr, new RegExp(`^error: no hub answers at ${url}.*\nfix: start one`));
});
