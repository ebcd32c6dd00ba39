/** A worker on a fake driver and a simulated hub, and the profiles it is given. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deferred } from "../../src/async/index.ts";
import { silentLog, type Log } from "../../src/log.ts";
import type { Intervals } from "../../src/protocol/index.ts";
import {
  createFakeDriver,
  parseProfile,
  type Driver,
  type FakeDriver,
  type FakeFaults,
  type Profile,
} from "../../src/sandbox/index.ts";
import {
  createWorker,
  type SandboxNetwork,
  type Worker,
  type WorkerOptions,
  type WorkerTimes,
} from "../../src/worker/index.ts";
import { SimulatedHub, type HubHooks } from "./memory-hub.ts";

export function testProfile(name: string, over: Record<string, unknown> = {}): Profile {
  return parseProfile(
    {
      name,
      shape: "fanout",
      image: `test/${name}`,
      resources: { cpus: 1, memory: "64MiB", pids: 16, workspace: "16MiB", tmp: "16MiB" },
      limits: { wallClock: "60s", output: "64MiB", artifacts: "1MiB" },
      languages: { python: {}, node: {}, shell: {} },
      ...over,
    },
    `${name}.json`,
  );
}

export interface RigOptions {
  intervals?: Partial<Intervals>;
  hooks?: Partial<HubHooks>;
  faults?: FakeFaults;
  worker?: Partial<WorkerOptions>;
  times?: Partial<WorkerTimes>;
  profiles?: readonly Profile[];
  /** Stands between the worker and the fake driver */
  driver?: (fake: FakeDriver) => Driver;
  network?: SandboxNetwork;
  log?: Log;
}

export interface Rig extends AsyncDisposable {
  hub: SimulatedHub;
  driver: FakeDriver;
  worker: Worker;
  spoolDir: string;
}

const quickTimes: Partial<WorkerTimes> = {
  backoffBaseMs: 5,
  backoffCapMs: 20,
  settleMs: 200,
  lingerMs: 20,
  farewellMs: 200,
  inputsMs: 2_000,
  resendMs: 5_000,
};

/** A worker that is ready, on a fake driver, dialling a simulated hub. Its disposal fails when anything is left. */
export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const spoolDir = await mkdtemp(join(tmpdir(), "sallyport-worker-"));
  const hub = new SimulatedHub(options.intervals, options.hooks);
  const driver = createFakeDriver({ faults: options.faults ?? {} });
  const profiles = new Map(
    (options.profiles ?? [testProfile("fast")]).map((profile) => [profile.name, profile]),
  );
  const worker = createWorker(
    {
      driver: options.driver?.(driver) ?? driver,
      network: options.network,
      dial: hub.dial,
      profiles: () => profiles,
      log: options.log ?? silentLog(),
    },
    {
      workerId: "worker-1",
      bootId: "boot-1",
      version: "0",
      labels: {},
      slots: 8,
      memoryBytes: 8 * 2 ** 30,
      cpus: 2,
      spoolDir,
      ...options.worker,
      times: { ...quickTimes, ...options.times },
    },
  );
  const ready = deferred<void>();
  worker.onReady(() => ready.resolve());
  void worker.run();
  await ready.promise;
  return {
    hub,
    driver,
    worker,
    spoolDir,
    [Symbol.asyncDispose]: async () => {
      await worker[Symbol.asyncDispose]();
      await hub[Symbol.asyncDispose]();
      const left = await driver.list();
      const files = await readdir(spoolDir);
      await rm(spoolDir, { recursive: true, force: true });
      assert.deepEqual(
        { sandboxes: left, files, state: worker.state },
        { sandboxes: [], files: [], state: "stopped" },
      );
    },
  };
}
