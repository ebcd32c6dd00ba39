/** What `run` promises, on a real engine: bytes, exit codes and ends are those of the program. One dev serves all. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { JobResult } from "../../src/client/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { ended, type Ended } from "../helpers/fleet-process.ts";
import { Fleet, sandboxesOf } from "../helpers/fleet.ts";
import { eventually } from "../helpers/hub.ts";

const skip = await requireEngine();
const mib = 2 ** 20;
const shellProfile = {
  name: "shell",
  shape: "shell",
  image: "sallyport/base",
  languages: { shell: {} },
  resources: { cpus: 1, memory: "256MiB", pids: 64, workspace: "16MiB", tmp: "8MiB" },
  limits: { wallClock: "2m", output: "256MiB", artifacts: "16MiB" },
};

let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.make({ logLevel: "info" });
  const limits = { ...shellProfile.limits, output: "1MiB" };
  const profiles = await fleet.profiles(
    "profiles",
    shellProfile,
    { ...shellProfile, name: "small", limits },
    { ...shellProfile, name: "python", image: "sallyport/python", languages: { python: {} } },
    { ...shellProfile, name: "node", image: "sallyport/node", languages: { node: {} } },
  );
  await fleet.startDev(["--slots", "6", "--profiles", profiles]);
});

after(async () => {
  if (skip === false) await fleet[Symbol.asyncDispose]();
});

const shell = (...command: string[]): string[] => ["run", "--profile", "shell", "--", ...command];

/** The result `--json` puts on the last line of stdout, and what the program printed before it. */
function resultOf({ stdout }: Ended): { id: string; printed: Buffer; result: JobResult } {
  const end = stdout.lastIndexOf("\n", stdout.length - 2) + 1;
  const result = JSON.parse(stdout.subarray(end).toString()) as JobResult & { id: string };
  return { id: result.id, printed: stdout.subarray(0, end), result };
}

/** A shell job that can be found again by its priority */
const ranked = (priority: number, script: string): string[] =>
  ["run", "--profile", "shell", "--priority", String(priority)].concat(["--", "sh", "-c", script]);

async function jobRanked(priority: number): Promise<string> {
  const { jobs } = await fleet.client.jobs.list({ limit: 100 });
  const job = jobs.find((candidate) => candidate.priority === priority);
  assert.ok(job);
  return job.id;
}

async function raw(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return await fetch(fleet.url + path, { headers: { authorization: `Bearer ${fleet.key}`, ...headers } });
}

describe("run on a real engine", { skip, concurrency: 3 }, () => {
  test("a program that ignores SIGTERM is killed once the grace is over", async () => {
    const deaf = "trap '' TERM; echo armed; while :; do sleep 1; done";
    const ran = await fleet.run(["run", "--json", "--timeout", "1s", "--", "sh", "-c", deaf]);
    const { result } = resultOf(ran);
    assert.deepEqual([ran.code, result.reason, result.signal], [124, "timeout", "SIGKILL"]);
  });

  test("a second Ctrl-C leaves at once; the job is cancelled all the same", async () => {
    const command = fleet.cli(ranked(2, "trap 'echo deaf' INT TERM; echo here; while :; do sleep 1; done"));
    assert.ok(command.child.stdout);
    await once(command.child.stdout, "data");
    const id = await jobRanked(2);
    command.kill("SIGINT");
    await eventually(async () => (await fleet.client.jobs.get(id)).cancelRequested);
    assert.equal((await fleet.client.jobs.get(id)).result, null, "it is still in its grace");
    assert.deepEqual(await command.stop("SIGINT"), [130, null]);
    assert.equal((await fleet.client.jobs.get(id)).result, null, "nobody waited for it");
    assert.equal((await fleet.client.jobs.get(id, { waitMs: 20_000 })).state, "cancelled");
    await eventually(async () => (await sandboxesOf({ lease: id })).length === 0);
  });

  test("python, node and shell code run, and what they are called is told by the file's ending", async () => {
    await writeFile(join(fleet.dir, "hello.js"), "console.log([1, 2, 3].map((n) => n * 2).join())");
    await writeFile(join(fleet.dir, "hello.sh"), "echo $((6 * 7)) $0");
    const [python, node, sh, file] = await Promise.all([
      fleet.run(["run", "-c", "print(6*7)"]),
      fleet.run(["run", "--language", "node", "-c", "console.log(process.version.split('.')[0])"]),
      fleet.run(["run", "--file", "hello.sh"]),
      fleet.run(["run", "--file", "hello.js"]),
    ]);
    assert.deepEqual([python.code, python.stdout.toString(), python.stderr], [0, "42\n", ""]);
    assert.deepEqual([node.code, node.stdout.toString()], [0, "v24\n"]);
    assert.deepEqual([sh.code, sh.stdout.toString()], [0, "42 main.sh\n"]);
    assert.deepEqual([file.code, file.stdout.toString()], [0, "2,4,6\n"]);
  });

  test("a traceback names the file and the line", async () => {
    const [python, node] = await Promise.all([
      fleet.run(["run", "-c", "x = 1\nraise ValueError('no')"]),
      fleet.run(["run", "--language", "node", "-c", "\nthrow new Error('no')"]),
    ]);
    assert.equal(python.code, 1);
    assert.match(python.stderr, /File "\/workspace\/main\.py", line 2[^]*ValueError: no/);
    assert.equal(node.code, 1);
    assert.match(node.stderr, /\/workspace\/main\.js:2[^]*Error: no/);
  });

  test("streams stay apart and the exit code is the program's", async () => {
    const { code, stdout, stderr } = await fleet.run(shell("sh", "-c", "echo out; echo err >&2; exit 3"));
    assert.deepEqual([code, stdout.toString(), stderr], [3, "out\n", "err\n"]);
  });

  test("64 MB through stdin arrive unchanged", async () => {
    const command = fleet.cli(shell("sha256sum"), { stdin: "pipe" });
    const over = ended(command);
    const hash = createHash("sha256");
    const { stdin } = command.child;
    assert.ok(stdin);
    const block = Buffer.alloc(mib);
    for (let at = 0; at < 61; at += 1) {
      for (let word = 0; word < block.length; word += 4)
        block.writeUInt32LE((at * 2654435761 + word) >>> 0, word);
      hash.update(block);
      if (!stdin.write(Buffer.from(block))) await once(stdin, "drain");
    }
    stdin.end();
    const { code, stdout } = await over;
    assert.deepEqual([code, stdout.toString()], [0, `${hash.digest("hex")}  -\n`]);
  });

  test("a program that reads none of its stdin ends as it likes", async () => {
    const command = fleet.cli(shell("sh", "-c", "exec 0<&-; echo done; exit 5"), { stdin: "pipe" });
    const over = ended(command);
    command.child.stdin?.end(Buffer.alloc(20 * mib));
    const { code, stdout } = await over;
    assert.deepEqual([code, stdout.toString()], [5, "done\n"]);
  });

  test("an empty stdin is the end of input, and one nobody writes to does not hold the program", async () => {
    const empty = fleet.cli(shell("sh", "-c", "cat; echo end"), { stdin: "pipe" });
    empty.child.stdin?.end();
    const open = fleet.cli(shell("echo", "quick"), { stdin: "pipe" });
    const [first, second] = await Promise.all([ended(empty), ended(open)]);
    assert.deepEqual([first.code, first.stdout.toString()], [0, "end\n"]);
    assert.deepEqual([second.code, second.stdout.toString()], [0, "quick\n"]);
  });

  test("a timeout exits 124, and not before its time", async () => {
    const ran = await fleet.run(["run", "--json", "--timeout", "1s", "--", "sleep", "60"]);
    const { result } = resultOf(ran);
    assert.deepEqual([ran.code, result.reason, result.state], [124, "timeout", "timed_out"]);
    assert.ok(result.timings.runMs >= 1_000, `${result.timings.runMs}`);
    assert.equal(result.signal, "SIGTERM", "it was asked to end, and did");
  });

  test("1 GiB under 256 MiB exits 137 for want of memory", async () => {
    const hog = ["run", "--json", "-c", "x = bytearray(1 << 30); print(len(x))"];
    const ran = await fleet.run(hog);
    const { result, printed } = resultOf(ran);
    assert.deepEqual([ran.code, result.reason, result.state], [137, "oom", "failed"]);
    assert.deepEqual([result.oom, printed.length], [true, 0]);
  });

  test("memory that ran out in a child leaves a mark on a program that went on", async () => {
    const code = [
      "import subprocess, sys",
      "done = subprocess.run([sys.executable, '-c', 'x = bytearray(1 << 30)'])",
      "print(done.returncode)",
    ].join("\n");
    const ran = await fleet.run(["run", "--json", "-c", code]);
    const { result, printed } = resultOf(ran);
    assert.deepEqual([ran.code, result.reason, result.exitCode], [0, "exited", 0]);
    assert.deepEqual([result.oom, printed.toString()], [true, "-9\n"]);
  });

  test("exit 137 of a program is its exit code, a signal it sent itself is a signal", async () => {
    const [exited, killed] = await Promise.all([
      fleet.run(["run", "--json", ...shell("sh", "-c", "exit 137").slice(1)]),
      fleet.run(["run", "--json", ...shell("sh", "-c", "kill -9 $$").slice(1)]),
    ]);
    const first = resultOf(exited).result;
    const second = resultOf(killed).result;
    assert.deepEqual(
      [exited.code, first.reason, first.exitCode, first.signal, first.oom],
      [137, "exited", 137, null, false],
    );
    assert.deepEqual(
      [killed.code, second.reason, second.signal, second.oom],
      [137, "signaled", "SIGKILL", false],
    );
  });

  test("output above the limit ends the job with exactly that much kept", async () => {
    const ran = await fleet.run(["run", "--json", "--profile", "small", "--", "yes"]);
    const { id, result, printed } = resultOf(ran);
    assert.deepEqual([ran.code, result.reason], [137, "output_limit"]);
    assert.deepEqual(result.output, {
      stdoutBytes: mib,
      stderrBytes: 0,
      truncated: true,
      missing: null,
    });
    assert.ok(printed.equals(Buffer.from("y\n".repeat(mib / 2))), `${printed.length} bytes`);
    assert.equal((await (await raw(`/v1/jobs/${id}/stdout`)).arrayBuffer()).byteLength, mib);
  });

  test("NUL and bytes that are no UTF-8 arrive as they were, live and later", async () => {
    const code =
      "import sys; sys.stdout.buffer.write(bytes(range(256)) * 300); sys.stderr.buffer.write(bytes(range(255, -1, -1)))";
    const ran = await fleet.run(["run", "--json", "-c", code]);
    const wanted = Buffer.from(Array.from({ length: 256 * 300 }, (_, at) => at % 256));
    const { stdout } = ran;
    assert.ok(stdout.subarray(0, wanted.length).equals(wanted));
    const { id } = JSON.parse(stdout.subarray(wanted.length).toString()) as { id: string };
    const whole = await raw(`/v1/jobs/${id}/stdout`);
    assert.equal(whole.headers.get("content-type"), "application/octet-stream");
    assert.ok(Buffer.from(await whole.arrayBuffer()).equals(wanted));
    const part = await raw(`/v1/jobs/${id}/stdout`, { range: "bytes=250-260" });
    assert.equal(part.status, 206);
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(wanted.subarray(250, 261)));
    const errors = Buffer.from(await (await raw(`/v1/jobs/${id}/stderr`)).arrayBuffer());
    assert.ok(errors.equals(Buffer.from(Array.from({ length: 256 }, (_, at) => 255 - at))));
  });

  test("files go in, artifacts come out, variables are set", async () => {
    const content = Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 7) % 256));
    await writeFile(join(fleet.dir, "in.bin"), content);
    const script =
      "rev sub/data.bin >/dev/null 2>&1; cp sub/data.bin out.bin; printf '%s' \"$GREETING\" > told/g.txt";
    const ran = await fleet.run([
      ..."run --profile shell --input in.bin:sub/data.bin --env".split(" "),
      "GREETING=à = b",
      ..."--output out.bin:got/out.bin --output told/g.txt --output missing.txt -- sh -c".split(" "),
      `mkdir told; ${script}`,
    ]);
    assert.ok((await readFile(join(fleet.dir, "got/out.bin"))).equals(content));
    assert.equal(await readFile(join(fleet.dir, "g.txt"), "utf8"), "à = b");
    assert.equal(ran.code, 1, "a missing artifact is told");
    assert.match(ran.stderr, /--output missing\.txt: /);
  });

  test("a command that is not there exits 127, one that cannot be executed 126", async () => {
    const [missing, data] = await Promise.all([
      fleet.run(shell("no-such-program")),
      fleet.run(shell("/etc/passwd")),
    ]);
    assert.deepEqual([missing.code, data.code], [127, 126]);
    assert.match(missing.stderr, /no-such-program/);
  });

  test("a background child does not hold the job, and its sandbox goes", async () => {
    const ran = await fleet.run(shell("sh", "-c", "sleep 300 & echo started"));
    assert.deepEqual([ran.code, ran.stdout.toString()], [0, "started\n"]);
  });

  test("Ctrl-C exits 130 once the job is over and its sandbox is gone", async () => {
    const command = fleet.cli(ranked(1, "echo here; sleep 60"));
    assert.ok(command.child.stdout);
    await once(command.child.stdout, "data");
    const id = await jobRanked(1);
    assert.equal((await sandboxesOf({ lease: id })).length, 1);
    assert.deepEqual(await command.stop("SIGINT"), [130, null]);
    const { state, result } = await fleet.client.jobs.get(id);
    assert.deepEqual([state, result?.reason], ["cancelled", "cancelled"]);
    await eventually(async () => (await sandboxesOf({ lease: id })).length === 0);
  });
});
