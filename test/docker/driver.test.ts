/** What only a real engine can show: settings by their effect, faults of the engine, nothing left behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, copyFile, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pack } from "tar-stream";
import { isError, SallyportError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { createDockerDriver, type Driver, type Profile, type Sandbox } from "../../src/sandbox/index.ts";
import * as docker from "../helpers/docker.ts";

const worker = `driver-test-${process.pid}`;
const skip = await docker.requireEngine();

function open(options: { dockerHost?: string; guestPath?: string; boot?: string } = {}): Driver {
  const settings = { worker, boot: "boot", guestPath: docker.guestPath, ...docker.engineAt(), ...options };
  return createDockerDriver({ log: silentLog() }, settings);
}

async function printed(sandbox: Sandbox, argv: string[]): Promise<string> {
  const exec = await sandbox.guest.exec({ argv, env: {}, cwd: "/workspace", stdin: "none" });
  const chunks: Uint8Array[] = [];
  for await (const { bytes } of exec.output) chunks.push(bytes.slice());
  return Buffer.concat(chunks).toString();
}

/** A way to the engine that can be cut, as a restart of the engine cuts it. */
class CutEngine implements AsyncDisposable {
  readonly #folder: string;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((near) => this.#join(near));
  #open = true;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<CutEngine> {
    const cut = new CutEngine(await mkdtemp(join(tmpdir(), "sallyport-engine-")));
    cut.#server.listen(join(cut.#folder, "engine.sock"));
    await once(cut.#server, "listening");
    return cut;
  }

  get address(): string {
    return `unix://${join(this.#folder, "engine.sock")}`;
  }

  cut(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  heal(): void {
    this.#open = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await rm(this.#folder, { recursive: true });
  }

  #join(near: Socket): void {
    if (!this.#open) {
      near.destroy();
      return;
    }
    const far = docker.connectEngine();
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}

/** A way to the engine on which one creation is answered with a closed connection, and carried out only later. */
class LateEngine implements AsyncDisposable {
  readonly #folder: string;
  readonly #server = createServer((near) => this.#join(near));
  /** The status line of the engine's answer to the lost creation */
  readonly made = Promise.withResolvers<string>();
  #lost = false;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<LateEngine> {
    const late = new LateEngine(await mkdtemp(join(tmpdir(), "sallyport-engine-")));
    late.#server.listen(join(late.#folder, "engine.sock"));
    await once(late.#server, "listening");
    return late;
  }

  get address(): string {
    return `unix://${join(this.#folder, "engine.sock")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await rm(this.#folder, { recursive: true });
  }

  #join(near: Socket): void {
    const far = docker.connectEngine();
    far.on("error", () => near.destroy()).pipe(near);
    near.on("error", () => far.destroy());
    let request: Buffer[] | undefined;
    near.on("data", (chunk: Buffer) => {
      if (request === undefined && !this.#lost && /^POST \S*\/containers\/create/.test(chunk.toString())) {
        this.#lost = true;
        request = [];
        setTimeout(() => near.destroy(), 100);
        setTimeout(() => far.write(Buffer.concat(request ?? [])), 1_000);
        far.once("data", (answer: Buffer) => {
          this.made.resolve(answer.toString().split("\r\n", 1)[0] ?? "");
          far.destroy();
        });
      }
      if (request === undefined) far.write(chunk);
      else request.push(chunk);
    });
    near.on("close", () => {
      if (request === undefined) far.destroy();
      else far.resume();
    });
  }
}

describe("docker driver", { skip, timeout: 240_000 }, () => {
  const raw = docker.rawEngine();
  let driver: Driver;
  let profile: Profile;
  const create = (change: Partial<Profile> = {}, hosts: string[] = []): Promise<Sandbox> =>
    driver.create({ profile: { ...profile, ...change }, lease: "lease", hosts });

  before(async () => {
    await docker.buildPrograms();
    driver = open();
    profile = docker.smallProfile(await docker.testImage());
    await driver.prepare(profile);
  });
  after(async () => {
    await driver[Symbol.asyncDispose]();
    await docker.leakCheck(`dev.sallyport.worker=${worker}`);
  });

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

  describe("images", () => {
    let folder: string;
    let source: Profile;
    const made = new Set<string>();
    /** Builds `tag` on the test image; each line added makes another image. */
    const build = async (tag: string, line: string): Promise<void> => {
      const context = pack();
      context.entry({ name: "Dockerfile" }, `FROM ${profile.image}\n${line}`);
      context.finalize();
      made.add(tag);
      const output = await raw.buildImage(Readable.from(context), { t: tag });
      await new Promise((resolve) => raw.modem.followProgress(output, resolve));
    };
    const preparedImages = async (): Promise<string[]> => {
      const label = [`dev.sallyport.image=${source.image}`, "dev.sallyport.programs=guest"];
      const found = await raw.listImages({ filters: { label } });
      return found.flatMap(({ RepoTags }) => RepoTags ?? []).sort();
    };
    const guestWith = async (tail: string): Promise<string> => {
      const path = join(folder, `guest-${tail}`);
      await copyFile(docker.guestPath, path);
      await appendFile(path, tail);
      return path;
    };

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "sallyport-guest-"));
      // an image of these tests alone: nobody else's prepared images are older ones of it
      source = { ...profile, image: `sallyport-test/source-${process.pid}` };
      await build(source.image, `LABEL made-for=${process.pid}`);
    });
    after(async () => {
      for (const tag of await preparedImages()) made.add(tag);
      for (const tag of [...made].toReversed()) {
        await raw
          .getImage(tag)
          .remove({ force: true })
          .catch(() => undefined);
      }
      await rm(folder, { recursive: true });
    });

    test("prepares at once share one build, and a later one finds it", async () => {
      await using other = open({ guestPath: await guestWith("shared"), boot: "images" });
      await Promise.all([other.prepare(source), other.prepare(source), other.prepare(source)]);
      const [tag, ...more] = await preparedImages();
      assert.ok(tag !== undefined && more.length === 0);
      const { Id } = await raw.getImage(tag).inspect();
      await using later = open({ guestPath: await guestWith("shared"), boot: "images" });
      await later.prepare(source);
      assert.equal((await raw.getImage(tag).inspect()).Id, Id);
    });

    test("a changed guest or source image makes a newer one, and the older one goes with all that is ours", async () => {
      await using first = open({ guestPath: await guestWith("first"), boot: "images" });
      await first.prepare(source);
      const [older] = await preparedImages();
      const { Id, Parent } = await raw.getImage(older ?? "").inspect();
      await using second = open({ guestPath: await guestWith("second"), boot: "images" });
      await second.prepare(source);
      const [newer, ...rest] = await preparedImages();
      assert.ok(newer !== older && rest.length === 0);
      for (const gone of [Id, Parent]) await assert.rejects(raw.getImage(gone).inspect());
      await build(source.image, `LABEL made-for=${process.pid} again=yes`);
      await second.prepare(source);
      const [newest, ...others] = await preparedImages();
      assert.ok(newest !== newer && others.length === 0);
      await raw.getImage(source.image).inspect();
    });

    test("an older image that a sandbox uses stays, and a driver that still needs one makes it anew", async () => {
      await using first = open({ guestPath: await guestWith("used"), boot: "images" });
      const kept = await first.create({ profile: source, lease: "lease", hosts: [] });
      const [used] = await preparedImages();
      await using second = open({ guestPath: await guestWith("using"), boot: "images" });
      await second.prepare(source);
      assert.ok((await preparedImages()).includes(used ?? ""));
      assert.equal(await printed(kept, ["echo", "on"]), "on\n");
      await kept[Symbol.asyncDispose]();
      await using third = open({ guestPath: await guestWith("latest"), boot: "images" });
      await third.prepare(source);
      assert.ok(!(await preparedImages()).includes(used ?? ""));
      await using again = await first.create({ profile: source, lease: "lease", hosts: [] });
      assert.equal(await printed(again, ["echo", "again"]), "again\n");
    });

    test("drivers that differ in their guest do not take turns in removing each other's image", async () => {
      await using one = open({ guestPath: await guestWith("one"), boot: "images" });
      await one.prepare(source);
      await using two = open({ guestPath: await guestWith("two"), boot: "images" });
      await two.prepare(source);
      for (const driver of [one, two, one, two]) {
        await using _sandbox = await driver.create({ profile: source, lease: "lease", hosts: [] });
      }
      assert.equal((await preparedImages()).length, 2);
    });

    test("a prepared image that somebody removed is made again", async () => {
      await using other = open({ guestPath: await guestWith("pruned"), boot: "images" });
      await other.prepare(source);
      for (const tag of await preparedImages()) await raw.getImage(tag).remove({ force: true });
      await using sandbox = await other.create({ profile: source, lease: "lease", hosts: [] });
      assert.equal(await printed(sandbox, ["echo", "again"]), "again\n");
    });

    test("an image that declares volumes is refused: their size has no limit", async () => {
      const tag = `sallyport-test/volume-${process.pid}`;
      await build(tag, "VOLUME /data");
      await assert.rejects(driver.prepare({ ...profile, image: tag }), (error) => {
        assert.ok(isError(error, "image_unavailable"));
        assert.match(error.message, /volumes/);
        return true;
      });
    });
  });

  describe("with the engine cut off", () => {
    test("a sandbox is lost, and gone once the engine is back", async () => {
      await using engine = await CutEngine.start();
      await using other = open({ dockerHost: engine.address, boot: "cut" });
      const sandbox = await other.create({ profile, lease: "lease", hosts: [] });
      const exec = await sandbox.guest.exec({ argv: ["sleep", "600"], env: {}, cwd: "/", stdin: "none" });
      const gone = raw.getContainer(sandbox.id).wait({ condition: "removed" });
      engine.cut();
      await assert.rejects(exec.exit, (error) => isError(error, "sandbox_lost"));
      // the closed stdin ends the guest without any help of ours
      await gone;
      engine.heal();
      assert.equal((await sandbox.ended).by, "lost");
    });

    test("a removal goes on until the engine answers again", async () => {
      await using engine = await CutEngine.start();
      await using other = open({ dockerHost: engine.address, boot: "cut" });
      const sandbox = await other.create({ profile, lease: "lease", hosts: [] });
      engine.cut();
      const disposed = sandbox[Symbol.asyncDispose]();
      await delay(300);
      engine.heal();
      await disposed;
      assert.deepEqual(await other.list(), []);
    });

    test("a container that is made after its request was lost is removed", async () => {
      await using engine = await LateEngine.start();
      await using other = open({ dockerHost: engine.address, boot: "late" });
      await assert.rejects(other.create({ profile, lease: "lease", hosts: [] }), (error) =>
        isError(error, "engine_unavailable"),
      );
      assert.deepEqual(await driver.list(), []);
      assert.match(await engine.made.promise, / 201 /);
      for (let tries = 0; tries < 100 && (await driver.list()).length > 0; tries += 1) await delay(100);
      assert.deepEqual(await driver.list(), []);
    });

    test("a driver that is closed waits for a container whose request was lost", async () => {
      await using engine = await LateEngine.start();
      {
        await using other = open({ dockerHost: engine.address, boot: "late" });
        await assert.rejects(other.create({ profile, lease: "lease", hosts: [] }), (error) =>
          isError(error, "engine_unavailable"),
        );
      }
      assert.match(await engine.made.promise, / 201 /);
      assert.deepEqual(await driver.list(), []);
    });

    test("a create cut short succeeds later or fails with a coded error, and leaves nothing", async () => {
      await using engine = await CutEngine.start();
      await using other = open({ dockerHost: engine.address, boot: "cut" });
      await other.prepare(profile);
      let failures = 0;
      for (const afterMs of [20, 40, 60, 80]) {
        const creating = other.create({ profile, lease: "lease", hosts: [] }).then(
          (sandbox) => sandbox[Symbol.asyncDispose](),
          (error: unknown) => {
            failures += 1;
            assert.ok(isError(error, "engine_unavailable", "engine_failed", "sandbox_lost"), String(error));
          },
        );
        await delay(afterMs);
        engine.cut();
        await delay(100);
        engine.heal();
        await creating;
        assert.deepEqual(await other.list(), []);
      }
      assert.ok(failures > 0, "the first create at least was under way when it was cut");
      await using sandbox = await other.create({ profile, lease: "lease", hosts: [] });
      assert.equal(await printed(sandbox, ["echo", "on"]), "on\n");
    });
  });
});
