/** A pool on the fake driver that counts what it makes, and checks at its end that nothing is left. */
import assert from "node:assert/strict";
import type { SallyportError } from "../../src/errors.ts";
import { silentLog, type Log } from "../../src/log.ts";
import {
  createFakeDriver,
  type Driver,
  type FakeDriver,
  type FakeFaults,
  type Profile,
} from "../../src/sandbox/index.ts";
import { Calm } from "../../src/worker/calm.ts";
import type { SandboxNetwork } from "../../src/worker/network.ts";
import { Pool, type PoolOptions } from "../../src/worker/pool/pool.ts";
import { ColdSandboxes, type HeldSandbox } from "../../src/worker/sandboxes.ts";
import type { Bound } from "../../src/worker/start-bound.ts";
import { testProfile } from "./simulated-hub.ts";

const unbounded: Bound = {
  signal: new AbortController().signal,
  pause: () => ({ [Symbol.dispose]: () => undefined }),
};

export interface Bench extends AsyncDisposable {
  pool: Pool;
  driver: FakeDriver;
  calm: Calm;
  /** creations asked for */
  creates: () => number;
  judged: (SallyportError | undefined)[];
  get(profile: Profile, hosts?: readonly string[]): Promise<HeldSandbox>;
}

export interface BenchOptions extends Partial<PoolOptions> {
  profiles: readonly Profile[];
  faults?: FakeFaults;
  room?: () => number;
  log?: Log;
  network?: SandboxNetwork;
  /** made at once for jobs */
  turns?: number;
}

export function bench({
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

export const pooled = (name: string, warm: number, over: Record<string, unknown> = {}): Profile =>
  testProfile(name, { pool: { warm, maxAge: "10m" }, ...over });
