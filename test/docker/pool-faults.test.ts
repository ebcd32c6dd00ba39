/** What a pool does while its engine is gone or out of disk: little, once, nothing half-made, and all again by itself. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLog } from "../../src/log.ts";
import { createDockerDriver, type Driver } from "../../src/sandbox/index.ts";
import * as docker from "../helpers/docker.ts";
import { eventually } from "../helpers/hub.ts";
import { OwnEngine, requireOwnEngine } from "../helpers/own-engine.ts";
import { startRig, testProfile, type Rig } from "../helpers/simulated-hub.ts";

const skip = (await docker.requireEngine()) || (await requireOwnEngine());
if (skip === false) await docker.buildPrograms();

const warm = 2;
const notMade = "no sandbox could be made ahead";
const madeAgain = "sandboxes are made ahead again";
/** how long a cause lasts, `ms`: many tries, were they not spread */
const causeMs = 4_000;

const profile = testProfile("shell", {
  image: "sallyport/base",
  resources: { cpus: 1, memory: "64MiB", pids: 16, workspace: "8MiB", tmp: "8MiB" },
  languages: { shell: {} },
  pool: { warm, maxAge: "10m" },
});

interface Pooled extends AsyncDisposable {
  rig: Rig;
  /** creations asked for so far */
  creates: () => number;
  logged: (message: string) => number;
  /** how many the worker says wait */
  waiting: () => number;
}

async function start(engine: OwnEngine): Promise<Pooled> {
  const lines: string[] = [];
  const log = createLog({ level: "info", destination: { write: (line: string) => void lines.push(line) } });
  const owner = { worker: `pool-faults-${randomUUID()}`, boot: randomUUID() };
  const real = createDockerDriver(
    { log },
    { ...owner, dockerHost: engine.dockerHost, guestPath: docker.guestPath },
  );
  let creates = 0;
  const driver: Driver = new Proxy(real, {
    get: (target, key) => {
      if (key === "create") creates += 1;
      const member: unknown = Reflect.get(target, key, target);
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
  const rig = await startRig({
    profiles: [profile],
    driver: () => driver,
    log,
    times: { backoffBaseMs: 500, backoffCapMs: 2_000 },
  });
  return {
    rig,
    creates: () => creates,
    logged: (message) => lines.filter((line) => line.includes(`"msg":"${message}"`)).length,
    waiting: () => rig.hub.messages.findLast((message) => message.type === "heartbeat")?.warm["shell"] ?? 0,
    [Symbol.asyncDispose]: async () => {
      await rig[Symbol.asyncDispose]();
      await real[Symbol.asyncDispose]();
      await eventually(async () => (await engine.containers()).length === 0, 30_000);
    },
  };
}

/** A job takes one that waits, so that one is missing. */
async function takeOne({ rig }: Pooled): Promise<void> {
  const outcome = await rig.hub.offer({
    spec: { profile: "shell", run: { language: "shell", code: "true" } },
  }).finished;
  assert.deepEqual([outcome.reason, outcome.exitCode], ["exited", 0]);
}

/** Few tries and one line while the cause lasted; then what the profile says waits, and nothing else is there. */
async function recovered(it: Pooled, engine: OwnEngine, createsBefore: number): Promise<void> {
  const tries = it.creates() - createsBefore;
  assert.ok(tries <= 2 + causeMs / 250, `${tries} tries are no storm`);
  assert.ok(it.logged(notMade) <= 3, "said once for each time it began");
  await eventually(async () => it.waiting() === warm, 60_000);
  assert.equal(it.logged(madeAgain) > 0, it.logged(notMade) > 0);
  // each that waits has answered; the state is not asked for, as the engine lists one whose start it could not write to its full
  // disk as `created` for good
  await eventually(async () => (await engine.containers()).length === warm, 60_000);
  await takeOne(it);
}

test("the engine is killed while the pool is filled", { skip }, async () => {
  await using engine = await OwnEngine.start("sallyport/base");
  await using it = await start(engine);
  await eventually(async () => it.creates() > 0, 30_000);
  const before = it.creates();
  await engine.down("SIGKILL");
  await sleep(causeMs);
  assert.equal(it.waiting(), 0);
  await engine.up();
  await recovered(it, engine, before);
});

test("the engine's disk is full when the pool is to be refilled", { skip }, async () => {
  await using engine = await OwnEngine.startOnDisk(300, "sallyport/base");
  await using it = await start(engine);
  await eventually(async () => it.waiting() === warm, 60_000);
  const before = it.creates();
  {
    await using ballast = await engine.fillDisk();
    await takeOne(it);
    await eventually(async () => it.logged(notMade) > 0, 30_000);
    // what is removed meanwhile makes room, which is taken again
    for (const until = performance.now() + causeMs; performance.now() < until; await sleep(250))
      await ballast.fill();
  }
  await recovered(it, engine, before);
});
