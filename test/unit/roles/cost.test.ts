import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import { CostCache, fingerprint, type CostConditions } from "../../../src/roles/cost-cache.ts";
import { measureCost, spread, type CostFigures } from "../../../src/roles/cost-measure.ts";
import { createFakeDriver, type Driver, type Sandbox } from "../../../src/sandbox/index.ts";
import { smallProfile } from "../../helpers/docker.ts";

const conditions: CostConditions = {
  cpu: "some cpu",
  cores: 2,
  memoryBytes: 2 ** 34,
  engine: "20.10.24",
  image: "sha256:one",
  profile: "sha256:profile",
};
const one = { n: 5, p50Ms: 1, p99Ms: 2 };
const figures: CostFigures = {
  measuredAt: "2026-01-01T00:00:00.000Z",
  cold: one,
  warm: one,
  idleBytes: 3,
  warmBytes: 4,
  rate: { n: 5, atOnce: 2, perSecond: 6 },
};

async function folder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "sallyport-cost-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("figures are found again under the same conditions, by another process too", async () => {
  await using state = await folder();
  const dir = join(state.path, "made", "anew");
  await new CostCache(dir).set("small", conditions, figures);
  assert.deepEqual(await new CostCache(dir).get("small", { ...conditions }), figures);
  assert.deepEqual(await readdir(dir), ["profile-costs.json"]);
  assert.equal((await stat(join(dir, "profile-costs.json"))).mode & 0o077, 0);
});

test("each condition that changes makes the figures unknown", async () => {
  await using state = await folder();
  const cache = new CostCache(state.path);
  await cache.set("small", conditions, figures);
  const changes: Partial<CostConditions>[] = [
    { cpu: "other" },
    { cores: 4 },
    { memoryBytes: 1 },
    { engine: "29" },
    { image: "sha256:two" },
    { profile: "sha256:other" },
  ];
  for (const change of changes) {
    assert.equal(await cache.get("small", { ...conditions, ...change }), undefined, JSON.stringify(change));
  }
  assert.equal(await cache.get("other", conditions), undefined);
});

test("profiles are kept beside each other, the latest figures of each", async () => {
  await using state = await folder();
  const cache = new CostCache(state.path);
  await cache.set("one", conditions, figures);
  await cache.set("two", conditions, { ...figures, idleBytes: 7 });
  await cache.set("one", conditions, { ...figures, idleBytes: 8 });
  assert.equal((await cache.get("one", conditions))?.idleBytes, 8);
  assert.equal((await cache.get("two", conditions))?.idleBytes, 7);
});

test("a file that cannot be read counts as nothing known, and is written anew", async () => {
  await using state = await folder();
  const cache = new CostCache(state.path);
  for (const content of ["", "{", "[]", '{"costs":{"small":{"fingerprint":1}}}']) {
    await writeFile(join(state.path, "profile-costs.json"), content);
    assert.equal(await cache.get("small", conditions), undefined);
  }
  await cache.set("small", conditions, figures);
  assert.deepEqual(await cache.get("small", conditions), figures);
});

test("the fingerprint does not depend on the order of what is known", () => {
  const turned = Object.fromEntries(Object.entries(conditions).toReversed()) as unknown as CostConditions;
  assert.equal(fingerprint(turned), fingerprint(conditions));
});

test("percentiles are untrimmed: the slowest of few is the 99th", () => {
  assert.deepEqual(spread([5, 1, 100, 3, 2]), { n: 5, p50Ms: 3, p99Ms: 100 });
  assert.deepEqual(spread([7]), { n: 1, p50Ms: 7, p99Ms: 7 });
});

/** A driver that notes how many sandboxes it holds. */
function counting(): { driver: Driver; live: () => number } {
  const driver = createFakeDriver();
  let live = 0;
  const create = async (...args: Parameters<Driver["create"]>): Promise<Sandbox> => {
    const sandbox = await driver.create(...args);
    live += 1;
    void sandbox.ended.then(() => (live -= 1));
    return sandbox;
  };
  const counted = new Proxy(driver, {
    get: (target, key) => (key === "create" ? create : Reflect.get(target, key, target).bind?.(target)),
  });
  return { driver: counted, live: () => live };
}

test("a measurement gives every figure, tells its progress and leaves nothing", async () => {
  const { driver, live } = counting();
  const told: string[] = [];
  const measured = await measureCost(driver, smallProfile("any"), {
    rounds: 5,
    progress: (text) => told.push(text),
    signal: new AbortController().signal,
  });
  assert.equal(measured.cold.n, 5);
  assert.equal(measured.warm.n, 5);
  assert.ok(measured.cold.p99Ms >= measured.cold.p50Ms && measured.rate.perSecond > 0);
  assert.ok(told.length >= 3 && told.every((text) => text.startsWith("small: ")));
  assert.equal(live(), 0);
});

test("a measurement that is stopped rejects with the reason and leaves nothing", async () => {
  const { driver, live } = counting();
  const stopped = new AbortController();
  const reason = new SallyportError("cancelled", "stopped");
  const measuring = measureCost(driver, smallProfile("any"), {
    rounds: 5,
    progress: (text) => {
      if (text.includes("memory")) stopped.abort(reason);
    },
    signal: stopped.signal,
  });
  await assert.rejects(measuring, (error) => error === reason);
  assert.equal(live(), 0);
});
