/** The pool on the fake driver: who gets what, how it fills, and how it behaves when nothing works. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import { createLog, silentLog, type Log } from "../../../src/log.ts";
import {
  createFakeDriver,
  type Driver,
  type FakeDriver,
  type FakeFaults,
  type Profile,
} from "../../../src/sandbox/index.ts";
import { Calm } from "../../../src/worker/calm.ts";
import type { SandboxNetwork } from "../../../src/worker/network.ts";
import { Pool, type PoolOptions } from "../../../src/worker/pool/pool.ts";
import { ColdSandboxes, type HeldSandbox } from "../../../src/worker/sandboxes.ts";
import type { Bound } from "../../../src/worker/start-bound.ts";
import { fakeNetwork } from "../../helpers/fake-network.ts";
import { testProfile } from "../../helpers/simulated-hub.ts";
import { eventually } from "../../helpers/hub.ts";

const unbounded: Bound = {
  signal: new AbortController().signal,
  pause: () => ({ [Symbol.dispose]: () => undefined }),
};

interface Bench extends AsyncDisposable {
  pool: Pool;
  driver: FakeDriver;
  calm: Calm;
  /** creations asked for */
  creates: () => number;
  judged: (SallyportError | undefined)[];
  get(profile: Profile, hosts?: readonly string[]): Promise<HeldSandbox>;
}

interface BenchOptions extends Partial<PoolOptions> {
  profiles: readonly Profile[];
  faults?: FakeFaults;
  room?: () => number;
  log?: Log;
  network?: SandboxNetwork;
  /** made at once for jobs */
  turns?: number;
}

function bench({
  profiles,
  faults = {},
  room = () => 2 ** 40,
  log = silentLog(),
  network,
  turns = 64,
  ...over
}: BenchOptions): Bench {
  const fake = createFakeDriver({ faults });
  let creates = 0;
  const create: Driver["create"] = (spec, signal) => {
    creates += 1;
    return fake.create(spec, signal);
  };
  const calm = new Calm();
  const judged: (SallyportError | undefined)[] = [];
  const cold = new ColdSandboxes(
    { driver: fake, network, calm, log, failed: () => undefined },
    { cleanUpMs: 1_000, concurrency: turns },
  );
  const times = { quietMs: 1, patienceMs: 50, warmMs: 5_000, cleanUpMs: 1_000 };
  const pool = new Pool(
    {
      driver: { create },
      network,
      cold,
      calm,
      log,
      room,
      profiles: () => profiles,
      judged: (_profile, fault) => judged.push(fault),
      changed: () => undefined,
    },
    { ...times, concurrency: 2, backoffBaseMs: 20, backoffCapMs: 40, ...over },
  );
  let leases = 0;
  return {
    pool,
    driver: fake,
    calm,
    judged,
    creates: () => creates,
    get: (profile, hosts = []) => pool.acquire(profile, `job-${(leases += 1)}`, hosts, unbounded),
    [Symbol.asyncDispose]: async () => {
      await pool[Symbol.asyncDispose]();
      assert.deepEqual(await fake.list(), [], "nothing is left");
    },
  };
}

const pooled = (name: string, warm: number, over: Record<string, unknown> = {}): Profile =>
  testProfile(name, { pool: { warm, maxAge: "10m" }, ...over });

/** A log that keeps its lines. */
function keptLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const log = createLog({ level: "info", destination: { write: (line: string) => void lines.push(line) } });
  return { log, lines };
}

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

test("a job with other hosts than the waiting sandboxes gets one of its own", async () => {
  const profile = pooled("p", 1);
  await using it = bench({ profiles: [profile] });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 1);
  await using held = await it.get(profile, ["docs"]);
  assert.deepEqual([held.warm, it.pool.count(profile)], [false, 1]);
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

const netted = (name: string, warm: number): Profile =>
  pooled(name, warm, { network: { mcp: [{ host: "*" }] } });

test("what waits serves jobs that are granted any of its names, or none; other names go cold", async () => {
  const profile = netted("p", 2);
  const network = fakeNetwork("docs", "wiki");
  await using it = bench({ profiles: [profile], network });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 2);
  await using other = await it.get(profile, ["late.t.test"]);
  await using one = await it.get(profile, ["wiki.t.test"]);
  await using none = await it.get(profile);
  assert.deepEqual([other.warm, one.warm, none.warm], [false, true, true]);
});

test("a sandbox made ahead and one made for a job are given the same variables and the same authority", async () => {
  const profile = netted("p", 1);
  await using it = bench({ profiles: [profile], network: fakeNetwork("docs") });
  await using cold = await it.get(profile);
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 1);
  await using warm = await it.get(profile);
  assert.deepEqual([cold.warm, warm.warm], [false, true]);
  assert.deepEqual(warm.env, cold.env);
  for (const { sandbox, env } of [cold, warm]) {
    const file = sandbox.guest.files.get(env["SSL_CERT_FILE"] ?? "", 1_000);
    assert.equal(Buffer.concat(await Array.fromAsync(file)).toString(), "CERTIFICATE");
  }
});

test("when routes change, what waits is renewed one at a time until all have the new names", async () => {
  const profile = netted("p", 4);
  const network = fakeNetwork("docs");
  await using it = bench({ profiles: [profile], network, concurrency: 1 });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 4);
  network.setRoutes(["docs", "wiki"]);
  let least = 4;
  it.pool.refresh();
  await eventually(async () => {
    least = Math.min(least, it.pool.count(profile));
    return it.creates() === 8 && it.pool.count(profile) === 4;
  });
  assert.equal(least, 3, "never more than one is missing");
  const held = await Promise.all(Array.from({ length: 4 }, () => it.get(profile, ["wiki.t.test"])));
  assert.deepEqual(
    held.map(({ warm }) => warm),
    [true, true, true, true],
  );
  for (const one of held) await one[Symbol.asyncDispose]();
});
