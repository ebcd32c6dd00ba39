import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred, type Deferred } from "../../../src/async/index.ts";
import { SallyportError } from "../../../src/errors.ts";
import { silentLog } from "../../../src/log.ts";
import { createFakeDriver, parseProfile, type Driver, type Sandbox } from "../../../src/sandbox/index.ts";
import { ColdSandboxes } from "../../../src/worker/sandboxes.ts";

const profile = parseProfile(
  {
    name: "fanout",
    shape: "fanout",
    image: "none",
    resources: { cpus: 1, memory: "16MiB", pids: 8, workspace: "64KiB", tmp: "64KiB" },
    limits: { wallClock: "60s", output: "1MiB", artifacts: "1MiB" },
  },
  "fanout.json",
);

/** A driver whose creates go on only when they are let. */
function held(): { cold: ColdSandboxes; asked: { lease: string; go: Deferred<void> }[] } {
  const fake = createFakeDriver();
  const asked: { lease: string; go: Deferred<void> }[] = [];
  const create: Driver["create"] = async (spec, signal): Promise<Sandbox> => {
    const go = deferred<void>();
    asked.push({ lease: spec.lease, go });
    await go.promise;
    return await fake.create(spec, signal);
  };
  const driver: Driver = Object.assign(Object.create(fake) as Driver, { create });
  const cold = new ColdSandboxes(
    { driver, network: undefined, log: silentLog(), failed: () => undefined },
    { cleanUpMs: 1_000, concurrency: 2 },
  );
  return { cold, asked };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("however many are asked for, a few are made at a time, in the order of asking", async () => {
  const { cold, asked } = held();
  const { signal } = new AbortController();
  const leases = Array.from({ length: 6 }, (_, at) => `lease-${at}`);
  const making = leases.map((lease) => cold.acquire(profile, lease, [], signal));
  for (let made = 0; made < leases.length; made += 1) {
    await turn();
    assert.equal(asked.length, Math.min(leases.length, made + 2));
    asked[made]?.go.resolve();
    await using _sandbox = await making[made];
  }
  assert.deepEqual(
    asked.map(({ lease }) => lease),
    leases,
  );
});

test("one that is given up before its turn is never made, and one that fails holds nobody up", async () => {
  const { cold, asked } = held();
  const leaving = new AbortController();
  const { signal } = new AbortController();
  const failing = ["first", "second"].map((lease) => cold.acquire(profile, lease, [], signal));
  const givenUp = cold.acquire(profile, "given up", [], leaving.signal);
  const last = cold.acquire(profile, "last", [], signal);
  await turn();
  leaving.abort(new SallyportError("cancelled", "nobody wants it"));
  for (const { go } of asked) go.reject(new SallyportError("engine_failed", "not today"));
  for (const making of failing) await assert.rejects(making, { code: "engine_failed" });
  await assert.rejects(givenUp, { code: "cancelled" });
  await turn();
  asked.at(-1)?.go.resolve();
  await using _sandbox = await last;
  assert.deepEqual(
    asked.map(({ lease }) => lease),
    ["first", "second", "last"],
  );
});
