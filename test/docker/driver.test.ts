/** What only a real engine can show of a driver: settings by their effect, refusals by name, nothing left behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isError, SallyportError } from "../../src/errors.ts";
import type { Driver, Profile, Sandbox } from "../../src/sandbox/index.ts";
import { open, printed, putAway, readyProfile, worker } from "../helpers/docker-driver.ts";
import * as docker from "../helpers/docker.ts";

const skip = await docker.requireEngine();

describe("docker driver", { skip, timeout: 240_000 }, () => {
  const raw = docker.rawEngine();
  let driver: Driver;
  let profile: Profile;
  const create = (change: Partial<Profile> = {}, hosts: string[] = []): Promise<Sandbox> =>
    driver.create({ profile: { ...profile, ...change }, lease: "lease", hosts });

  before(async () => {
    driver = open();
    profile = await readyProfile(driver);
  });
  after(() => putAway(driver));

  test("every promise of a sandbox holds, seen from inside", async () => {
    const { checks, engine } = await driver.probe();
    assert.ok(engine.runtimes.includes("runc"));
    assert.ok(checks.length > 15);
    assert.deepEqual(
      checks.filter(({ ok }) => !ok),
      [],
    );
  });

  test("the names of a sandbox resolve to its own loopback, the environment is the profile's", async () => {
    await using sandbox = await create({ env: { COLOUR: "green" } }, ["docs", "files.corp"]);
    assert.match(await printed(sandbox, ["cat", "/etc/hosts"]), /^127\.0\.0\.1\tdocs$/m);
    assert.match(await printed(sandbox, ["cat", "/etc/hosts"]), /^127\.0\.0\.1\tfiles\.corp$/m);
    const names = (await printed(sandbox, ["env"])).split("\n").map((line) => line.split("=")[0]);
    assert.ok(names.includes("COLOUR"));
    assert.deepEqual(
      names.filter((name) => !["COLOUR", "PATH", "LANG", "HOME", "HOSTNAME", "PWD", ""].includes(name ?? "")),
      [],
    );
  });

  test("usage is told while a sandbox lives, and is an error afterwards", async () => {
    const sandbox = await create();
    const { memoryBytes, pids } = await sandbox.stats();
    assert.ok(memoryBytes > 0 && memoryBytes < profile.resources.memory && pids >= 1);
    await sandbox[Symbol.asyncDispose]();
    await assert.rejects(sandbox.stats(), (error) => isError(error, "sandbox_lost"));
  });

  test("an image that is not there is named, with the profile and the fix", async () => {
    await assert.rejects(driver.prepare({ ...profile, image: "nobody/nothing:1" }), (error) => {
      assert.ok(isError(error, "image_unavailable"));
      assert.match(error.message, /nobody\/nothing:1.*small/);
      assert.ok(typeof error.details["fix"] === "string");
      return true;
    });
  });

  test("a runtime the engine does not have is refused with the reason", async () => {
    await assert.rejects(driver.prepare({ ...profile, runtime: "kata" }), (error) => {
      assert.ok(isError(error, "runtime_unavailable"));
      assert.match(error.message, /kata.*does not list it/);
      return true;
    });
  });

  test("a profile that asks for more than the host has is refused when it is prepared, not by a job", async () => {
    const { resources } = profile;
    const cases = [
      [{ ...resources, cpus: 1_000 }, /resources\.cpus asks for 1000/],
      [{ ...resources, memory: 2 ** 50 }, /resources\.memory asks for/],
      [{ ...resources, gpus: 64 }, /resources\.gpus asks for 64/],
    ] as const;
    for (const [resources, pattern] of cases) {
      await assert.rejects(driver.prepare({ ...profile, resources }), (error) => {
        assert.ok(isError(error, "profile_unusable"), String(error));
        assert.match(error.message, pattern);
        assert.ok(typeof error.details["fix"] === "string");
        return true;
      });
    }
    assert.deepEqual(await driver.list(), []);
  });

  test("no engine: each call says so, with the fix", async () => {
    await using absent = open({ dockerHost: "unix:///nowhere/docker.sock" });
    const calls = [
      () => absent.probe(),
      () => absent.prepare(profile),
      () => absent.create({ profile, lease: "lease", hosts: [] }),
      () => absent.list(),
      () => absent.reap(0),
    ];
    for (const call of calls) {
      await assert.rejects(call, (error) => {
        assert.ok(isError(error, "engine_unavailable"), String(error));
        assert.ok(typeof error.details["fix"] === "string");
        return true;
      });
    }
  });

  test("a create aborted at any moment leaves nothing", async () => {
    const reason = new SallyportError("cancelled", "no longer wanted");
    const tries = Array.from({ length: 10 }, async (_, at) => {
      const controller = new AbortController();
      const creating = driver.create({ profile, lease: "lease", hosts: [] }, controller.signal);
      const made = creating.catch((error: unknown) => assert.equal(error, reason));
      await delay(at * 60);
      controller.abort(reason);
      await (await made)?.[Symbol.asyncDispose]();
    });
    await Promise.all(tries);
    assert.deepEqual(await driver.list(), []);
  });

  test("a driver that is closed gives up its creations, and leaves nothing", async () => {
    const other = open({ boot: "closed" });
    await other.prepare(profile);
    const creating = [0, 40, 80].map(async (afterMs) => {
      await delay(afterMs);
      return await other.create({ profile, lease: "lease", hosts: [] });
    });
    const settled = Promise.allSettled(creating);
    await delay(100);
    await other[Symbol.asyncDispose]();
    for (const outcome of await settled) {
      if (outcome.status === "rejected") assert.ok(isError(outcome.reason, "shutting_down"));
      else assert.equal((await outcome.value.ended).by, "removed");
    }
    assert.deepEqual(await driver.list(), []);
  });

  test("many sandboxes at once are all made and all removed", async () => {
    const made = await Promise.all(Array.from({ length: 12 }, () => create()));
    assert.equal(new Set(made.map(({ id }) => id)).size, 12);
    assert.deepEqual(
      await Promise.all(made.map((sandbox) => printed(sandbox, ["echo", "here"]))),
      made.map(() => "here\n"),
    );
    await Promise.all(made.map((sandbox) => sandbox[Symbol.asyncDispose]()));
    assert.deepEqual(await driver.list(), []);
  });

  test("a worker that is killed takes its sandboxes with it", async () => {
    const code = `
      import { createDockerDriver } from ${JSON.stringify(import.meta.resolve("../../src/sandbox/index.ts"))};
      import { silentLog } from ${JSON.stringify(import.meta.resolve("../../src/log.ts"))};
      const driver = createDockerDriver({ log: silentLog() }, ${JSON.stringify({ worker, boot: "killed", guestPath: docker.guestPath, ...docker.engineAt() })});
      const sandbox = await driver.create({ profile: ${JSON.stringify(profile)}, lease: "lease", hosts: [] });
      await sandbox.guest.exec({ argv: ["sleep", "600"], env: {}, cwd: "/workspace", stdin: "none" });
      process.stdout.write(sandbox.id);
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [id] = (await once(child.stdout, "data")) as [Buffer];
    const removed = raw.getContainer(id.toString()).wait({ condition: "removed" });
    child.kill("SIGKILL");
    await removed;
    assert.deepEqual(await driver.list(), []);
  });
});
