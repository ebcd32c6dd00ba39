/** The pool inside a worker, against a simulated hub and the fake driver. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeDriver } from "../../src/sandbox/index.ts";
import type { WorkerMessage } from "../../src/protocol/index.ts";
import { run, startRig, testProfile, type Rig } from "../helpers/simulated-hub.ts";

const pooled = testProfile("fast", { languages: {}, pool: { warm: 2, maxAge: "10m" } });

/** What the hub was told last of how many sandboxes of `fast` wait */
function toldWarm({ hub }: Rig): number | undefined {
  const told = hub.messages.flatMap((message: WorkerMessage) => {
    if (message.type === "heartbeat") return [message.warm["fast"] ?? 0];
    const profile =
      message.type === "profiles" ? message.profiles.find(({ name }) => name === "fast") : undefined;
    return profile === undefined ? [] : [profile.warm];
  });
  return told.at(-1);
}

test("the hub hears soon what waits, a job takes one and says so, and the next one is made", async () => {
  await using rig = await startRig({ profiles: [pooled] });
  await rig.hub.until(() => toldWarm(rig) === 2, "two to be told, long before the next heartbeat is due");
  const outcome = await rig.hub.offer({ spec: run("echo", "hi") }).finished;
  assert.deepEqual([outcome.reason, outcome.timings.warm], ["exited", true]);
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 2, "the one that was used to be replaced");
});

test("more jobs than sandboxes: some are warm, the others cold, and all come to their end", async () => {
  await using rig = await startRig({ profiles: [pooled] });
  await rig.hub.until(() => toldWarm(rig) === 2, "both to wait");
  const jobs = Array.from({ length: 8 }, (_, number) => rig.hub.offer({ spec: run("echo", String(number)) }));
  const outcomes = await Promise.all(jobs.map((job) => job.finished));
  assert.deepEqual(new Set(outcomes.map(({ reason }) => reason)), new Set(["exited"]));
  assert.equal(outcomes.filter(({ timings }) => timings.warm).length, 2);
  assert.deepEqual(
    jobs.map((job) => job.printed("stdout").toString()),
    jobs.map((_, number) => `${number}\n`),
  );
});

test("a worker told to make none ahead makes none", async () => {
  await using rig = await startRig({ profiles: [pooled], worker: { pool: false } });
  const outcome = await rig.hub.offer({ spec: run("true") }).finished;
  assert.equal(outcome.timings.warm, false);
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 0, "the job's own to go");
});

test("drain empties the pool at once, while what runs runs on", async () => {
  await using rig = await startRig({ profiles: [pooled] });
  await rig.hub.until(() => toldWarm(rig) === 2, "both to wait");
  const job = rig.hub.offer({ spec: run("sleep", "300") });
  await rig.hub.until(() => job.started.length === 1, "the start");
  const drained = rig.worker.drain();
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 1, "all but the job's to go");
  assert.equal(job.exits.length, 0);
  assert.equal((await job.finished).reason, "exited");
  await drained;
  assert.equal(rig.driver.engine.sandboxes.size, 0);
});

test("what waits counts against no slot and no promise", async () => {
  const worker = { slots: 2, memoryBytes: 2 * 64 * 2 ** 20 };
  await using rig = await startRig({ profiles: [pooled, testProfile("other")], worker });
  await rig.hub.until(() => toldWarm(rig) === 2, "both to wait");
  const beat = rig.hub.messages.findLast((message) => message.type === "heartbeat");
  assert.deepEqual(beat?.free, { slots: 2, memory: worker.memoryBytes });
  const jobs = [1, 2].map(() => rig.hub.offer({ spec: { ...run("echo", "x"), profile: "other" } }));
  const outcomes = await Promise.all(jobs.map((job) => job.finished));
  assert.deepEqual(
    outcomes.map(({ reason, timings }) => [reason, timings.warm]),
    [
      ["exited", false],
      ["exited", false],
    ],
  );
});

test("a module that cannot be preloaded makes the profile unusable, with the reason, until it can", async () => {
  const profile = testProfile("fast", {
    languages: { python: { preload: ["numpy"] } },
    pool: { warm: 1, maxAge: "10m" },
  });
  await using rig = await startRig({ profiles: [profile] });
  const unusable = (): string | undefined =>
    rig.hub.messages
      .findLast((message) => message.type === "profiles")
      ?.profiles.find(({ name }) => name === "fast")?.unusable?.code;
  await rig.hub.until(() => unusable() === "profile_unusable", "the profile to be told unusable");
  const job = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => job.answers.length === 1, "an answer");
  assert.equal(job.answers[0]?.type, "offer.reject");
});

test("sandboxes made ahead by an earlier life of the worker are removed by the next, its own are not", async () => {
  await using rig = await startRig({
    profiles: [pooled],
    driver: (fake) => fake,
    worker: { reapIntervalMs: 20, reapGraceMs: 0 },
  });
  const earlier = createFakeDriver({ engine: rig.driver.engine, boot: "earlier" });
  const orphan = await earlier.create({ profile: pooled, lease: "pool-old", hosts: [] });
  await rig.hub.until(() => !rig.driver.engine.sandboxes.has(orphan.id), "the orphan to go");
  await rig.hub.until(() => toldWarm(rig) === 2, "its own to wait");
  const own = [...rig.driver.engine.sandboxes.keys()];
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual([...rig.driver.engine.sandboxes.keys()], own);
});
