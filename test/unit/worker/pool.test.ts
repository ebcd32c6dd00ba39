/** The pool on the fake driver: who gets what, how it fills, and what it gives way to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FakeFaults } from "../../../src/sandbox/index.ts";
import { eventually } from "../../helpers/hub.ts";
import { bench, pooled } from "../../helpers/pool-bench.ts";
import { testProfile } from "../../helpers/simulated-hub.ts";

test("it fills to what the profile says, and what is taken is replaced", async () => {
  const profile = pooled("p", 3);
  await using it = bench({ profiles: [profile, pooled("none", 0)] });
  await using early = await it.get(profile);
  assert.equal(early.warm, false, "before it is started every job goes cold");
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 3);
  assert.deepEqual(it.pool.counts, { p: 3 });
  await using held = await it.get(profile);
  assert.equal(held.warm, true);
  assert.equal(it.pool.count(profile), 2);
  await eventually(async () => it.pool.count(profile) === 3);
});

test("a thousand adoptions, 64 at a time, are a thousand sandboxes, each removed with its job", async () => {
  const profile = pooled("p", 32);
  await using it = bench({ profiles: [profile], concurrency: 2, quietMs: 0, patienceMs: 0 });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 32);
  const seen = new Map<string, boolean>();
  let left = 1_000;
  const taker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await using held = await it.get(profile);
      assert.equal(seen.has(held.sandbox.id), false, "given out twice");
      seen.set(held.sandbox.id, held.warm);
      await new Promise((resolve) => setTimeout(resolve, 2 * Math.random()));
    }
  };
  await Promise.all(Array.from({ length: 64 }, taker));
  assert.equal(seen.size, 1_000);
  const warm = [...seen.values()].filter(Boolean).length;
  assert.ok(warm >= 32 && warm < 1_000, `${warm} of them warm`);
  await eventually(async () => (await it.driver.list()).length === it.pool.count(profile));
});

test("who finds none goes cold at once, also while one is being made", async () => {
  const profile = pooled("p", 1);
  const faults: FakeFaults = { createMs: 60_000 };
  await using it = bench({ profiles: [profile], faults });
  it.pool.start();
  await eventually(async () => it.creates() === 1);
  faults.createMs = 0;
  await using held = await it.get(profile);
  assert.equal(held.warm, false);
});

test("nothing is made while a job is on its way, for a while", async () => {
  const profile = pooled("p", 1);
  await using it = bench({ profiles: [profile], patienceMs: 1_000_000 });
  const job = it.calm.disturb();
  it.pool.start();
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(it.creates(), 0);
  job[Symbol.dispose]();
  await eventually(async () => it.pool.count(profile) === 1);
});

test("nothing is made ahead while jobs wait for their turn, however long; then it fills again", async () => {
  const profile = pooled("p", 2);
  const faults: FakeFaults = { createMs: 15 };
  await using it = bench({ profiles: [profile], faults, turns: 1, quietMs: 0, patienceMs: 0 });
  const jobs = Array.from({ length: 6 }, () => it.get(profile));
  await new Promise((resolve) => setImmediate(resolve));
  it.pool.start();
  for (const job of jobs.slice(0, 4)) {
    await using _held = await job;
    assert.equal(it.creates(), 0, "jobs come first");
  }
  for (const job of jobs.slice(4)) await (await job)[Symbol.asyncDispose]();
  await eventually(async () => it.pool.count(profile) === 2);
});

test("sandboxes expire and are replaced", async () => {
  const profile = testProfile("p", { pool: { warm: 1, maxAge: "1s" } });
  await using it = bench({ profiles: [profile] });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 1);
  const [first] = await it.driver.list();
  await eventually(async () => {
    const [now] = await it.driver.list();
    return now !== undefined && now.id !== first?.id;
  });
});

test("every sandbox is labelled as the pool's", async () => {
  const profile = pooled("p", 2);
  await using it = bench({ profiles: [profile] });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 2);
  const leases = (await it.driver.list()).map(({ lease }) => lease);
  assert.ok(leases.every((lease) => lease.startsWith("pool-")));
  assert.equal(new Set(leases).size, 2);
  assert.deepEqual(await it.driver.reap(0), [], "the living are nobody's orphans");
});

test("it holds no memory that jobs were promised: it fills what is left, and gives way to a job that goes cold", async () => {
  const mib = 2 ** 20;
  const small = pooled("small", 4);
  const other = testProfile("other");
  let spare = 3 * 64 * mib;
  await using it = bench({ profiles: [small], room: () => spare });
  it.pool.start();
  await eventually(async () => it.pool.count(small) === 3);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(it.pool.count(small), 3, "the fourth finds no room");
  spare = 64 * mib;
  await using held = await it.get(other);
  assert.deepEqual([held.warm, it.pool.count(small)], [false, 1]);
  assert.equal((await it.driver.list()).length, 2, "what gave way was gone before the job's was made");
  spare = 4 * 64 * mib;
  it.pool.refresh();
  await eventually(async () => it.pool.count(small) === 4);
});

test("what it adopts out is the job's memory, not the pool's", async () => {
  const profile = pooled("p", 2);
  let spare = 2 * 64 * 2 ** 20;
  await using it = bench({ profiles: [profile], room: () => spare });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 2);
  spare = 64 * 2 ** 20;
  await using held = await it.get(profile);
  assert.deepEqual([held.warm, it.pool.count(profile)], [true, 1], "nothing had to give way");
});

test("a profile that is no longer there loses its sandboxes", async () => {
  const profiles = [pooled("p", 2)];
  await using it = bench({ profiles });
  it.pool.start();
  await eventually(async () => it.pool.counts["p"] === 2);
  profiles.length = 0;
  it.pool.refresh();
  await eventually(async () => (await it.driver.list()).length === 0);
});

test("emptied while it fills: nothing is left, and nothing more is made", async () => {
  const profile = pooled("p", 8);
  const it = bench({ profiles: [profile], faults: { createMs: 3 } });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) >= 2);
  await it[Symbol.asyncDispose]();
  const made = it.creates();
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual([it.creates(), it.pool.count(profile)], [made, 0]);
  assert.equal((await it.get(profile)).warm, false);
});
