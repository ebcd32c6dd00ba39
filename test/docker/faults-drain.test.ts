/** Signals to worker and hub while jobs run: the first lets them finish, the second ends them, and nothing accepted is lost. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { requireEngine } from "../helpers/docker.ts";
import { ended } from "../helpers/fleet-process.ts";
import { Fleet } from "../helpers/fleet.ts";
import {
  over,
  script,
  shellProfile,
  shortIntervals,
  started,
  stdoutOf,
  verdictOf,
} from "../helpers/fleet-jobs.ts";
import { eventually } from "../helpers/hub.ts";

const skip = await requireEngine();

describe("signals", { skip, concurrency: 3 }, () => {
  test("SIGTERM to a worker: its job finishes though it outlasts a lease, new ones wait for another, exit 0", async () => {
    await using fleet = await Fleet.make();
    await fleet.startHub({ intervals: shortIntervals });
    const profiles = await fleet.profiles("profiles", shellProfile);
    const worker = await fleet.startWorker({ profiles });
    const { client } = fleet;
    const running = await client.jobs.submit(script("echo up; sleep 8; echo down"));
    await started(client, running.id);
    const exit = worker.stop();
    await eventually(async () => (await client.workers.list())[0]?.state === "draining");
    const waiting = await client.jobs.submit(script("echo later"));
    assert.deepEqual(verdictOf(await over(client, running.id)), ["succeeded", "exited", 1]);
    assert.equal((await stdoutOf(client, running.id)).toString(), "up\ndown\n");
    assert.deepEqual(await exit, [0, null]);
    assert.deepEqual(await fleet.sandboxes(), []);
    const left = await client.jobs.get(waiting.id);
    assert.deepEqual([left.state, left.attempts.length], ["queued", 0]);
    await fleet.startWorker({ name: "other", profiles });
    assert.deepEqual(verdictOf(await over(client, waiting.id)), ["succeeded", "exited", 1]);
  });

  test("a second SIGTERM to a worker: its jobs are lost at once and said so, nothing is left, exit 3", async () => {
    await using fleet = await Fleet.make();
    await fleet.startHub();
    const profiles = await fleet.profiles("profiles", shellProfile);
    const worker = await fleet.startWorker({ profiles });
    const { client } = fleet;
    const long = "trap '' TERM; echo up; sleep 120";
    const lost = await client.jobs.submit(script(long));
    const again = await client.jobs.submit(script("echo up; sleep 5", { retry: { maxAttempts: 2 } }));
    await Promise.all([started(client, lost.id), started(client, again.id)]);
    worker.kill("SIGTERM");
    await eventually(async () => (await client.workers.list())[0]?.state === "draining");
    assert.deepEqual(await worker.stop("SIGTERM"), [3, null]);
    assert.deepEqual(await fleet.sandboxes(), []);
    assert.deepEqual(verdictOf(await over(client, lost.id, 10_000)), ["lost", "worker_lost", 1]);
    await fleet.startWorker({ name: "other", profiles });
    assert.deepEqual(verdictOf(await over(client, again.id)), ["succeeded", "exited", 2]);
  });

  test("drained by the hub with a deadline: what runs longer is aborted", async () => {
    await using fleet = await Fleet.make();
    await fleet.startHub();
    const worker = await fleet.startWorker({ profiles: await fleet.profiles("profiles", shellProfile) });
    const { client } = fleet;
    const [brief, long] = await Promise.all([
      client.jobs.submit(script("echo up; sleep 1")),
      client.jobs.submit(script("echo up; sleep 120")),
    ]);
    await Promise.all([started(client, brief.id), started(client, long.id)]);
    const drained = await fleet.run(["workers", "drain", fleet.workerId(), "--deadline", "4s"]);
    assert.equal(drained.code, 0, drained.stderr);
    assert.deepEqual(verdictOf(await over(client, brief.id)), ["succeeded", "exited", 1]);
    assert.deepEqual(verdictOf(await over(client, long.id)), ["lost", "worker_lost", 1]);
    assert.deepEqual(await worker.exit, [0, null]);
    assert.deepEqual(await fleet.sandboxes(), []);
  });

  test("SIGTERM to the hub: it ends soon with code 0 under open readers, and its worker finds the next one", async () => {
    await using fleet = await Fleet.make();
    const hub = await fleet.startHub();
    const profiles = await fleet.profiles("profiles", shellProfile);
    const worker = await fleet.startWorker({ profiles });
    const { client, port } = fleet;
    const command = fleet.cli([
      "run",
      "--profile",
      "shell",
      "--",
      "sh",
      "-c",
      "echo up; sleep 4; echo down; exit 9",
    ]);
    const printed = ended(command);
    await eventually(async () => (await client.jobs.list()).jobs[0]?.attempts[0]?.startedAt);
    assert.deepEqual(await hub.stop(), [0, null]);
    await fleet.startHub({ port });
    const { code, stdout } = await printed;
    assert.deepEqual([code, stdout.toString()], [9, "up\ndown\n"]);
    assert.ok(worker.running);
    assert.deepEqual(await worker.stop("SIGINT"), [0, null]);
  });
});
