/** What every driver promises, asked of the fake and of a real engine. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isError, SallyportError } from "../../src/errors.ts";
import type { Driver, Profile, Sandbox } from "../../src/sandbox/index.ts";
import * as docker from "../helpers/docker.ts";
import {
  collect,
  dockerBench,
  execSpec,
  fakeBench,
  runIn,
  sha256,
  type Bench,
} from "../helpers/driver-bench.ts";

function suite(name: string, skip: string | false, bench: Bench): void {
  describe(`${name} driver`, { skip }, () => {
    const worker = docker.workerId(`contract-${name}`);
    const { programs } = bench;
    let driver: Driver;
    let profile: Profile;

    const create = (signal?: AbortSignal): Promise<Sandbox> =>
      driver.create({ profile, lease: "lease", hosts: [] }, signal);
    const nothingLeft = async (): Promise<void> => assert.deepEqual(await driver.list(), []);

    before(async () => {
      driver = bench.open({ worker, boot: "boot-1" });
      profile = await bench.profile();
      await driver.prepare(profile);
    });
    after(async () => {
      await driver[Symbol.asyncDispose]();
      if (name === "docker") await docker.leakCheck(`dev.sallyport.worker=${worker}`);
    });

    test("stdout, stderr and the exit code come apart, byte for byte", async () => {
      await using sandbox = await create();
      assert.equal((await runIn(sandbox, programs.print("out"))).stdout.toString(), "out\n");
      const complaint = await runIn(sandbox, programs.complain("err"));
      assert.deepEqual([complaint.stdout.length, complaint.stderr.toString()], [0, "err\n"]);
      const end = await runIn(sandbox, programs.exit(3));
      assert.deepEqual([end.exitCode, end.signal], [3, null]);
    });

    test("megabytes of output arrive whole", async () => {
      await using sandbox = await create();
      const { stdout, exitCode } = await runIn(sandbox, programs.bulk.argv);
      assert.deepEqual([exitCode, stdout.length], [0, programs.bulk.bytes]);
      assert.equal(sha256([stdout]), programs.bulk.sha256);
    });

    test("stdin reaches the program, any bytes, and its end too", async () => {
      await using sandbox = await create();
      const exec = await sandbox.guest.exec(execSpec(programs.cat, { stdin: "pipe" }));
      const sent = Buffer.from(Array.from({ length: 700_000 }, (_, at) => (at * 7) & 0xff));
      const collected = collect(exec);
      for (let at = 0; at < sent.length; at += 100_000)
        await exec.stdin.write(sent.subarray(at, at + 100_000));
      exec.stdin.end();
      assert.ok((await collected).stdout.equals(sent));
      assert.equal((await exec.exit).exitCode, 0);
    });

    test("without stdin a program reads the end at once", async () => {
      await using sandbox = await create();
      assert.equal((await runIn(sandbox, programs.cat)).exitCode, 0);
    });

    test("a signal ends a program and is told as its end", async () => {
      await using sandbox = await create();
      const exec = await sandbox.guest.exec(execSpec(programs.sleep));
      exec.signal("SIGTERM");
      const { exitCode, signal } = await exec.exit;
      assert.deepEqual([exitCode, signal], [null, "SIGTERM"]);
    });

    test("what ignores SIGTERM ends with its tree", async () => {
      await using sandbox = await create();
      const exec = await sandbox.guest.exec(execSpec(programs.hang));
      const output = exec.output[Symbol.asyncIterator]();
      assert.match(Buffer.from((await output.next()).value?.bytes ?? []).toString(), /ready/);
      exec.signal("SIGTERM");
      exec.killTree();
      assert.equal((await exec.exit).signal, "SIGKILL");
      while ((await output.next()).done !== true);
    });

    test("a slow reader stops its program, not another exec, and little is buffered", async () => {
      await using sandbox = await create();
      const flood = await sandbox.guest.exec(execSpec(programs.yes));
      const output = flood.output[Symbol.asyncIterator]();
      await output.next();
      const other = await runIn(sandbox, programs.bulk.argv);
      assert.equal(other.stdout.length, programs.bulk.bytes);
      flood.killTree();
      let buffered = 0;
      for (let next = await output.next(); next.done !== true; next = await output.next()) {
        buffered += next.value.bytes.length;
      }
      assert.ok(buffered < 2 ** 21, `${buffered} bytes were under way`);
    });

    test("two execs at once in one sandbox do not mix", async () => {
      await using sandbox = await create();
      const execs = await Promise.all(
        [1, 2].map(() => sandbox.guest.exec(execSpec(programs.cat, { stdin: "pipe" }))),
      );
      const ends = execs.map(async (exec, index) => {
        const collected = collect(exec);
        for (let round = 0; round < 20; round += 1)
          await exec.stdin.write(Buffer.from(`${index}`.repeat(1_000)));
        exec.stdin.end();
        return (await collected).stdout.toString();
      });
      assert.deepEqual(await Promise.all(ends), ["0".repeat(20_000), "1".repeat(20_000)]);
    });

    test("a program that is not there is a coded error, and the sandbox goes on", async () => {
      await using sandbox = await create();
      await assert.rejects(sandbox.guest.exec(execSpec(programs.unknown)), (error) =>
        isError(error, "command_not_found"),
      );
      assert.equal((await runIn(sandbox, programs.exit(0))).exitCode, 0);
    });

    test("files go in and come out unchanged", async () => {
      await using sandbox = await create();
      const { files } = sandbox.guest;
      const content = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 13) & 0xff));
      await files.put("in/data.bin", content);
      const parts = await Array.fromAsync(files.get("in/data.bin", content.length));
      assert.ok(Buffer.concat(parts).equals(content));
      const { type, size } = await files.stat("in/data.bin");
      assert.deepEqual([type, size], ["file", content.length]);
      await files.mkdir("out");
      await files.rename("in/data.bin", "out/data.bin");
      assert.deepEqual(
        (await files.list("out")).map((entry) => entry.path.split("/").at(-1)),
        ["data.bin"],
      );
      await assert.rejects(Array.fromAsync(files.get("out/data.bin", 10)), (error) =>
        isError(error, "capacity_exhausted"),
      );
      await files.remove("out");
      await assert.rejects(files.stat("out/data.bin"), (error) => isError(error, "file_unknown"));
      await assert.rejects(files.put("/etc/passwd", content), (error) => isError(error, "file_refused"));
    });

    test("memory that ran out is noticed although the sandbox lives on", async () => {
      await using sandbox = await create();
      assert.equal(await sandbox.memoryRanOut(), false);
      await runIn(sandbox, programs.outOfMemory);
      assert.equal(await sandbox.memoryRanOut(), true);
      assert.equal((await runIn(sandbox, programs.exit(0))).exitCode, 0);
    });

    test("disposing twice and at once removes once, and nothing is left", async () => {
      const sandbox = await create();
      assert.deepEqual(
        (await driver.list()).map(({ id, lease, profile }) => ({ id, lease, profile })),
        [{ id: sandbox.id, lease: "lease", profile: profile.name }],
      );
      await Promise.all([sandbox[Symbol.asyncDispose](), sandbox[Symbol.asyncDispose]()]);
      await sandbox[Symbol.asyncDispose]();
      assert.equal((await sandbox.ended).by, "removed");
      await nothingLeft();
    });

    test("disposing ends what runs", async () => {
      const sandbox = await create();
      const exec = await sandbox.guest.exec(execSpec(programs.sleep));
      await sandbox[Symbol.asyncDispose]();
      await assert.rejects(exec.exit, (error) => isError(error, "sandbox_lost"));
    });

    test("a sandbox that goes away under us is lost, and so are its execs", async () => {
      await using sandbox = await create();
      const exec = await sandbox.guest.exec(execSpec(programs.sleep));
      await bench.lose(driver, sandbox.id);
      assert.equal((await sandbox.ended).by, "lost");
      await assert.rejects(exec.exit, (error) => isError(error, "sandbox_lost"));
      await assert.rejects(collect(exec), (error) => isError(error, "sandbox_lost"));
      await assert.rejects(sandbox.guest.exec(execSpec(programs.exit(0))), (error) =>
        isError(error, "sandbox_lost"),
      );
      await nothingLeft();
    });

    test("a conversation that is closed ends the sandbox by itself", async () => {
      await using sandbox = await create();
      sandbox.guest.close();
      assert.equal((await sandbox.ended).by, "exited");
      await nothingLeft();
    });

    test("a create aborted before or on the way rejects with the reason and leaves nothing", async () => {
      const reason = new SallyportError("cancelled", "no longer wanted");
      await assert.rejects(create(AbortSignal.abort(reason)), reason);
      const controller = new AbortController();
      const creating = create(controller.signal);
      controller.abort(reason);
      const made = await creating.catch((error: unknown) => {
        assert.equal(error, reason);
      });
      await made?.[Symbol.asyncDispose]();
      await nothingLeft();
    });

    test("reaping takes what an earlier life left, after the grace, and nothing of anybody else", async () => {
      const earlier = bench.open({ worker, boot: "boot-0" });
      const stranger = bench.open({ worker: docker.workerId(`stranger-${name}`), boot: "boot-1" });
      const spec = { profile, lease: "left", hosts: [] };
      const orphan = await earlier.create(spec);
      await using theirs = await stranger.create(spec);
      await using ours = await create();
      assert.deepEqual(await driver.reap(3_600_000), []);
      assert.deepEqual(await driver.reap(0), [orphan.id]);
      assert.equal((await orphan.ended).by, "lost");
      assert.deepEqual(
        (await driver.list()).map(({ id }) => id),
        [ours.id],
      );
      assert.deepEqual(
        (await stranger.list()).map(({ id }) => id),
        [theirs.id],
      );
      await earlier[Symbol.asyncDispose]();
      await theirs[Symbol.asyncDispose]();
      await stranger[Symbol.asyncDispose]();
    });

    test("a driver that is disposed takes its sandboxes with it", async () => {
      const other = bench.open({ worker, boot: "boot-2" });
      const sandbox = await other.create({ profile, lease: "lease", hosts: [] });
      await other[Symbol.asyncDispose]();
      assert.equal((await sandbox.ended).by, "removed");
      await nothingLeft();
    });
  });
}

suite("fake", false, fakeBench());
const skip = await docker.requireEngine();
if (skip === false) await docker.buildPrograms();
suite("docker", skip, dockerBench());
