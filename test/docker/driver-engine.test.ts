/**
 * A driver and what it needs of the engine: the images it prepares there, and a way to it that breaks. One after the other, in one file:
 * drivers with other guests remove images that a lost request still names.
 */
import assert from "node:assert/strict";
import { appendFile, copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pack } from "tar-stream";
import { isError } from "../../src/errors.ts";
import type { Driver, Profile } from "../../src/sandbox/index.ts";
import { CutEngine } from "../helpers/cut-engine.ts";
import { open, printed, putAway, readyProfile } from "../helpers/docker-driver.ts";
import * as docker from "../helpers/docker.ts";
import { LateEngine } from "../helpers/late-engine.ts";
import { RecordingEngine } from "../helpers/recording-engine.ts";

const skip = await docker.requireEngine();

describe("docker driver: images", { skip, timeout: 240_000 }, () => {
  const raw = docker.rawEngine();
  let driver: Driver;
  let profile: Profile;
  let folder: string;
  let source: Profile;
  /** Ids too: a name that is given to another image leaves the one it had without any */
  const made = new Set<string>();
  /** Builds `tag` on the test image; each line added makes another image. */
  const build = async (tag: string, line: string): Promise<void> => {
    const context = pack();
    context.entry({ name: "Dockerfile" }, `FROM ${profile.image}\n${line}`);
    context.finalize();
    const output = await raw.buildImage(Readable.from(context), { t: tag, networkmode: "none" });
    await new Promise((resolve) => raw.modem.followProgress(output, resolve));
    made.add((await raw.getImage(tag).inspect()).Id);
  };
  const preparedImages = async (image = source.image): Promise<string[]> => {
    const label = [`dev.sallyport.image=${image}`, "dev.sallyport.programs=guest"];
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
    driver = open();
    profile = await readyProfile(driver);
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
  after(() => putAway(driver));

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

  test("an image in which the guest cannot work is told in the guest's words", async () => {
    const image = `sallyport-test/linked-${process.pid}`;
    await build(image, "USER root\nRUN rm -rf /workspace && ln -s /etc /workspace");
    const spec = { profile: { ...profile, image }, lease: "lease", hosts: [] };
    const outcome = await driver.create(spec).catch((error: unknown) => error);
    for (const tag of await preparedImages(image)) made.add(tag);
    assert.ok(isError(outcome, "sandbox_lost"), String(outcome));
    assert.match(outcome.message, /the guest did not answer \(.*; guest: a root folder is missing/);
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

describe("docker driver with the engine cut off", { skip, timeout: 240_000 }, () => {
  const raw = docker.rawEngine();
  let driver: Driver;
  let profile: Profile;

  before(async () => {
    driver = open();
    profile = await readyProfile(driver);
  });
  after(() => putAway(driver));

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

  for (const step of ["attach", "start"]) {
    test(`a create whose ${step} is never answered ends with its signal`, { timeout: 30_000 }, async () => {
      await using engine = await RecordingEngine.start();
      await using other = open({ dockerHost: engine.address, boot: "lost" });
      await other.prepare(profile);
      const asked = Promise.withResolvers<void>();
      engine.loss = ({ path }) => {
        const lost = path.endsWith(`/${step}`);
        if (lost) asked.resolve();
        return lost;
      };
      const stop = new AbortController();
      const creating = other.create({ profile, lease: "lease", hosts: [] }, stop.signal);
      await asked.promise;
      stop.abort(new Error("the job is over"));
      await assert.rejects(creating, { message: "the job is over" });
      assert.deepEqual(await other.list(), []);
    });
  }

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
