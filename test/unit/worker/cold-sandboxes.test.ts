import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { deferred, type Deferred } from "../../../src/async/index.ts";
import { SallyportError } from "../../../src/errors.ts";
import { silentLog } from "../../../src/log.ts";
import { createFakeDriver, parseProfile, type Driver, type Sandbox } from "../../../src/sandbox/index.ts";
import { Calm } from "../../../src/worker/calm.ts";
import { ColdSandboxes } from "../../../src/worker/sandboxes.ts";
import { StartBound, type Bound } from "../../../src/worker/start-bound.ts";

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
function held(calm = new Calm()): { cold: ColdSandboxes; asked: { lease: string; go: Deferred<void> }[] } {
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
    { driver, network: undefined, calm, log: silentLog(), failed: () => undefined },
    { cleanUpMs: 1_000, concurrency: 2 },
  );
  return { cold, asked };
}

const unbounded = (signal: AbortSignal): Bound => ({
  signal,
  pause: () => ({ [Symbol.dispose]: () => undefined }),
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("however many are asked for, a few are made at a time, in the order of asking", async () => {
  const { cold, asked } = held();
  const { signal } = new AbortController();
  const leases = Array.from({ length: 6 }, (_, at) => `lease-${at}`);
  const making = leases.map((lease) => cold.acquire(profile, lease, [], unbounded(signal)));
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
  const failing = ["first", "second"].map((lease) => cold.acquire(profile, lease, [], unbounded(signal)));
  const givenUp = cold.acquire(profile, "given up", [], unbounded(leaving.signal));
  const last = cold.acquire(profile, "last", [], unbounded(signal));
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

test("while one waits for its turn it is not calm, however long; once its own is made it is", async () => {
  const calm = new Calm();
  const { cold, asked } = held(calm);
  const { signal } = new AbortController();
  const making = ["a", "b", "c"].map((lease) => cold.acquire(profile, lease, [], unbounded(signal)));
  let isCalm = false;
  const waiting = calm.wait({ quietMs: 0, patienceMs: 0 }, signal).then(() => {
    isCalm = true;
  });
  await turn();
  assert.deepEqual([asked.length, isCalm], [2, false]);
  asked[0]?.go.resolve();
  await waiting;
  assert.equal(asked.length, 3, "the last one has its turn");
  for (const { go } of asked) go.resolve();
  for (const sandbox of await Promise.all(making)) await sandbox[Symbol.asyncDispose]();
});

/** A clock that goes only when it is told, for timers and `performance`. */
function stoppedClock(t: TestContext): (ms: number) => void {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  return (ms) => {
    now += ms;
    t.mock.timers.tick(ms);
  };
}

test("the wait for one's turn does not count against the bound of the start, the making does", async (t) => {
  const pass = stoppedClock(t);
  const { cold, asked } = held();
  const { signal } = new AbortController();
  const ahead = ["a", "b"].map((lease) => cold.acquire(profile, lease, [], unbounded(signal)));
  using bound = new StartBound(100, signal);
  const making = cold.acquire(profile, "c", [], bound);
  await turn();
  pass(60_000);
  assert.equal(bound.signal.aborted, false, "it waits for others");
  asked[0]?.go.resolve();
  await turn();
  assert.equal(asked.length, 3);
  pass(99);
  assert.equal(bound.signal.aborted, false);
  pass(1);
  assert.deepEqual(
    [bound.signal.aborted, (bound.signal.reason as SallyportError).code],
    [true, "deadline_exceeded"],
  );
  for (const { go } of asked) go.resolve();
  await assert.rejects(making, { code: "deadline_exceeded" });
  for (const sandbox of await Promise.all(ahead)) await sandbox[Symbol.asyncDispose]();
});

test("a bound that is over or stopped fires no more, and pauses add up", (t) => {
  const pass = stoppedClock(t);
  const stop = new AbortController();
  const bound = new StartBound(100, stop.signal);
  const pauses = [bound.pause(), bound.pause()];
  pass(500);
  pauses[0]?.[Symbol.dispose]();
  pauses[0]?.[Symbol.dispose]();
  pass(500);
  assert.equal(bound.signal.aborted, false, "one of two still holds it");
  const held = pauses[1];
  bound[Symbol.dispose]();
  held?.[Symbol.dispose]();
  pass(500);
  assert.equal(bound.signal.aborted, false, "over");
  using stopped = new StartBound(100, stop.signal);
  using _pause = stopped.pause();
  stop.abort(new SallyportError("cancelled", "nobody wants it"));
  assert.equal((stopped.signal.reason as SallyportError).code, "cancelled", "a pause holds no stop up");
});
