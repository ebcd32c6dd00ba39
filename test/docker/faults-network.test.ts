/** The network between worker and hub breaks under running jobs, for a moment and for longer than a lease. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sleep } from "../../src/async/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import type { Process } from "../helpers/fleet-process.ts";
import { Fleet, sandboxesOf } from "../helpers/fleet.ts";
import {
  follow,
  generated,
  generator,
  over,
  pythonProfile,
  script,
  shellProfile,
  shortIntervals,
  started,
  stdoutOf,
  verdictOf,
} from "../helpers/fleet-jobs.ts";
import { eventually } from "../helpers/hub.ts";

const skip = await requireEngine();

/** A worker of its own behind a proxy of its own, and a job only it may take, seen through until `break` was called once some of its output came */
async function through(fleet: Fleet, name: string, fault: (proxy: FaultProxy) => void | Promise<void>) {
  await using proxy = await FaultProxy.start(() => fleet.port);
  const profiles = await fleet.profiles(`profiles-${name}`, pythonProfile);
  const flags = ["--label", `behind=${name}`];
  const worker = await fleet.startWorker({ name, profiles, flags, hub: proxy.url });
  const { client } = fleet;
  const job = await client.jobs.submit(generator({ labels: { behind: name } }));
  const midway = Promise.withResolvers<void>();
  const followed = follow(client, job.id, (total) => {
    if (total > 100_000) midway.resolve();
  });
  await Promise.race([midway.promise, followed]);
  await fault(proxy);
  const bytes = await followed;
  const end = await over(client, job.id);
  const stored = await stdoutOf(client, job.id);
  assert.ok(worker.running);
  assert.deepEqual(await worker.stop(), [0, null]);
  return { bytes, end, stored, connections: proxy.accepted };
}

describe("a short break costs a job nothing", { skip, concurrency: 3 }, () => {
  let fleet: Fleet;

  before(async () => {
    fleet = await Fleet.make();
    await fleet.startHub();
  });

  after(async () => {
    await fleet[Symbol.asyncDispose]();
  });

  const breaks: [string, (proxy: FaultProxy) => void | Promise<void>][] = [
    ["closed", (proxy) => proxy.cut("fin")],
    ["half-open", (proxy) => proxy.stall("both")],
    ["silent-to-the-worker", (proxy) => proxy.stall("down")],
    ["silent-to-the-hub", (proxy) => proxy.stall("up")],
    [
      "reset-again-and-again",
      async (proxy) => {
        for (let times = 0; times < 4; times += 1) {
          proxy.cut("reset");
          await sleep(600);
        }
      },
    ],
    [
      "partitioned",
      async (proxy) => {
        proxy.partition();
        await sleep(3_000);
        proxy.heal();
      },
    ],
  ];

  for (const [name, fault] of breaks) {
    test(`connection ${name}: the job goes on and its output is whole`, async () => {
      const { bytes, end, stored, connections } = await through(fleet, name, fault);
      const wanted = generated();
      assert.ok(bytes.equals(wanted), "the followed output is whole");
      assert.ok(stored.equals(wanted), "the stored output is whole");
      assert.deepEqual(verdictOf(end), ["succeeded", "exited", 1]);
      assert.ok(connections >= 2, "the fault was real: the worker dialled again");
    });
  }
});

/** Most sandboxes of one lease at once, until `stop` fires */
async function mostAtOnce(lease: string, stop: AbortSignal): Promise<number> {
  let most = 0;
  while (!stop.aborted) {
    most = Math.max(most, (await sandboxesOf({ lease })).length);
    await sleep(50);
  }
  return most;
}

describe("a break longer than the lease", { skip, concurrency: 2 }, () => {
  const longer = shortIntervals.leaseMs + 2_500;

  /** Two jobs run when `cut` is called; it is `healed` after more than a lease. */
  async function cutOff(fleet: Fleet, fault: { cut: () => void; healed: () => void }): Promise<void> {
    const { client } = fleet;
    const text = "echo up; sleep 8; echo down";
    const [lost, again] = await Promise.all([
      client.jobs.submit(script(text)),
      client.jobs.submit(script(text, { retry: { maxAttempts: 2 } })),
    ]);
    await Promise.all([started(client, lost.id), started(client, again.id)]);
    const watching = new AbortController();
    const most = mostAtOnce(again.id, watching.signal);
    fault.cut();
    await eventually(async () => (await fleet.sandboxes()).length === 0, longer);
    await sleep(3_000);
    fault.healed();
    assert.deepEqual(verdictOf(await over(client, lost.id)), ["lost", "worker_lost", 1]);
    const rerun = await over(client, again.id);
    assert.deepEqual(verdictOf(rerun), ["succeeded", "exited", 2]);
    assert.deepEqual(
      rerun.attempts.map(({ reason }) => reason),
      ["worker_lost", "exited"],
    );
    assert.equal((await stdoutOf(client, again.id)).toString(), "up\ndown\n");
    watching.abort();
    assert.equal(await most, 1, "two attempts never run at once");
  }

  async function shortFleet(): Promise<{ fleet: Fleet; hub: Process; profiles: string }> {
    const fleet = await Fleet.make();
    const hub = await fleet.startHub({ intervals: shortIntervals });
    return { fleet, hub, profiles: await fleet.profiles("profiles", shellProfile) };
  }

  test("the worker is partitioned: it stops its sandboxes, and jobs are lost or run once more", async () => {
    const { fleet, profiles } = await shortFleet();
    await using _fleet = fleet;
    await using proxy = await FaultProxy.start(() => fleet.port);
    const worker = await fleet.startWorker({ profiles, hub: proxy.url });
    await cutOff(fleet, { cut: () => proxy.partition(), healed: () => proxy.heal() });
    assert.equal(worker.logged("cut off from the hub too long; stopping all sandboxes").length, 1);
  });

  test("the connection breaks ten times: a worker that holds leases never waits so long that they are over", async () => {
    const { fleet, profiles } = await shortFleet();
    await using _fleet = fleet;
    await using proxy = await FaultProxy.start(() => fleet.port);
    await fleet.startWorker({ profiles, hub: proxy.url });
    const { client } = fleet;
    const job = await client.jobs.submit(script("echo up; sleep 12; echo down"));
    await started(client, job.id);
    for (let times = 1; times <= 10; times += 1) {
      const { accepted } = proxy;
      proxy.cut("reset");
      await eventually(() => proxy.accepted > accepted, shortIntervals.leaseMs);
    }
    assert.deepEqual(verdictOf(await over(client, job.id)), ["succeeded", "exited", 1]);
    assert.equal((await stdoutOf(client, job.id)).toString(), "up\ndown\n");
  });

  test("the hub never comes back: a worker told to end waits for its leases to be over, and no longer", async () => {
    const { fleet, profiles } = await shortFleet();
    await using _fleet = fleet;
    await using proxy = await FaultProxy.start(() => fleet.port);
    const worker = await fleet.startWorker({ profiles, hub: proxy.url });
    const { client } = fleet;
    const [brief, long] = await Promise.all([
      client.jobs.submit(script("echo up; sleep 2")),
      client.jobs.submit(script("echo up; sleep 60")),
    ]);
    await Promise.all([started(client, brief.id), started(client, long.id)]);
    proxy.partition();
    assert.deepEqual(await worker.stop(), [0, null]);
    for (const { id } of [brief, long]) {
      assert.deepEqual(verdictOf(await over(client, id)), ["lost", "worker_lost", 1]);
    }
  });

  test("the hub is frozen: the worker stops its sandboxes, and jobs are lost or run once more", async () => {
    const { fleet, hub, profiles } = await shortFleet();
    await using _fleet = fleet;
    const worker = await fleet.startWorker({ profiles });
    await cutOff(fleet, { cut: () => hub.kill("SIGSTOP"), healed: () => hub.kill("SIGCONT") });
    assert.equal(worker.logged("cut off from the hub too long; stopping all sandboxes").length, 1);
  });

  test("the worker is frozen: its jobs are lost or run elsewhere, and what it says later changes nothing", async () => {
    const { fleet, profiles } = await shortFleet();
    await using _fleet = fleet;
    const frozen = await fleet.startWorker({ profiles });
    const { client } = fleet;
    const text = "echo up; sleep 3; echo down";
    const job = await client.jobs.submit(script(text, { retry: { maxAttempts: 2 } }));
    await started(client, job.id);
    frozen.kill("SIGSTOP");
    await fleet.startWorker({ name: "other", profiles });
    const rerun = await over(client, job.id);
    assert.deepEqual(verdictOf(rerun), ["succeeded", "exited", 2]);
    frozen.kill("SIGCONT");
    await eventually(async () => (await fleet.sandboxes()).length === 0, 20_000);
    await eventually(async () => {
      const workers = await client.workers.list();
      return workers.filter(({ state, held }) => state === "ready" && held === 0).length === 2;
    }, 30_000);
    assert.deepEqual(await client.jobs.get(job.id), rerun);
    assert.equal((await stdoutOf(client, job.id)).toString(), "up\ndown\n");
  });
});
