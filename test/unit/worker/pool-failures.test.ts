/** The pool on the fake driver when nothing works: the engine, the sandboxes, the interpreters. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import { createLog, type Log } from "../../../src/log.ts";
import type { FakeFaults } from "../../../src/sandbox/index.ts";
import { eventually } from "../../helpers/hub.ts";
import { bench, pooled } from "../../helpers/pool-bench.ts";

/** A log that keeps its lines. */
function keptLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const log = createLog({ level: "info", destination: { write: (line: string) => void lines.push(line) } });
  return { log, lines };
}

test("a waiting sandbox that dies is dropped and replaced", async () => {
  const profile = pooled("p", 2);
  await using it = bench({ profiles: [profile] });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 2);
  const before = (await it.driver.list()).map(({ id }) => id);
  for (const id of before) it.driver.lose(id);
  await eventually(async () => {
    const now = (await it.driver.list()).map(({ id }) => id);
    return now.length === 2 && now.every((id) => !before.includes(id));
  });
  await using held = await it.get(profile);
  assert.deepEqual([held.warm, before.includes(held.sandbox.id)], [true, false]);
});

test("an engine that fails: few tries, one line, no half-made sandbox, and recovery by itself", async () => {
  const profiles = [pooled("p", 4), pooled("q", 4)];
  const { log, lines } = keptLog();
  const faults: FakeFaults = { create: () => new SallyportError("engine_unavailable", "the engine is gone") };
  await using it = bench({ profiles, faults, log, backoffBaseMs: 50, backoffCapMs: 100 });
  it.pool.start();
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.ok(it.creates() >= 4 && it.creates() < 200, `${it.creates()} tries in 0.4 s`);
  assert.deepEqual(await it.driver.list(), []);
  assert.equal(lines.length, 2, "one line for each profile");
  delete faults.create;
  await eventually(async () => it.pool.counts["p"] === 4 && it.pool.counts["q"] === 4);
  assert.equal(lines.length, 4, "and one when it works again");
  assert.equal(it.judged.at(-1), undefined);
});

test("full pids while an interpreter is started: nothing half-made is kept, and the next try succeeds", async () => {
  const profile = pooled("p", 1, { languages: { python: {} } });
  await using it = bench({ profiles: [profile] });
  const make = it.driver.create.bind(it.driver);
  let full = true;
  it.driver.create = async (spec, signal) => {
    const sandbox = await make(spec, signal);
    if (full) sandbox.guest.exec = () => Promise.reject(new SallyportError("capacity_exhausted", "EAGAIN"));
    return sandbox;
  };
  it.pool.start();
  await eventually(async () => it.judged.length > 0);
  assert.equal(it.judged[0]?.code, "capacity_exhausted");
  assert.equal(it.pool.count(profile), 0);
  full = false;
  await eventually(async () => it.pool.count(profile) === 1);
  await eventually(async () => (await it.driver.list()).length === 1);
});

test("a sandbox killed while it is warmed is no sandbox of the pool", async () => {
  const profile = pooled("p", 1, { languages: { python: {} } });
  await using it = bench({ profiles: [profile] });
  const make = it.driver.create.bind(it.driver);
  let kills = 2;
  it.driver.create = async (spec, signal) => {
    const sandbox = await make(spec, signal);
    kills -= 1;
    if (kills >= 0) it.driver.lose(sandbox.id);
    return sandbox;
  };
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 1);
  await eventually(async () => (await it.driver.list()).length === 1);
});

test("an image that cannot do it: no interpreter waits where no module asks for one, else the profile is refused by name", async () => {
  const plain = pooled("plain", 1, { languages: { python: {}, shell: {} } });
  const wanting = pooled("wanting", 1, { languages: { python: { preload: ["numpy"] } } });
  await using it = bench({ profiles: [plain, wanting] });
  it.pool.start();
  await eventually(async () => it.pool.count(plain) === 1 && it.judged.some((fault) => fault !== undefined));
  const fault = it.judged.find((each) => each !== undefined);
  assert.equal(fault?.code, "profile_unusable");
  assert.match(fault.message, /languages\.python/);
  await using held = await it.get(plain);
  assert.deepEqual([held.warm, held.interpreters.size], [true, 0]);
});
