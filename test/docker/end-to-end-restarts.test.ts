/** Hub and worker as separate processes, each restarted or killed while jobs run. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rawEngine, requireEngine } from "../helpers/docker.ts";
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

describe("restarts", { skip, concurrency: 3 }, () => {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    test(`hub ended by ${signal} mid-job and started again: the job finishes, its output whole`, async () => {
      await using fleet = await Fleet.make();
      const hub = await fleet.startHub();
      await fleet.startWorker({ profiles: await fleet.profiles("profiles", pythonProfile) });
      const { client, port } = fleet;
      const job = await client.jobs.submit(generator());
      const midway = Promise.withResolvers<void>();
      const followed = follow(client, job.id, (total) => {
        if (total > 200_000) midway.resolve();
      });
      await Promise.race([midway.promise, followed]);
      await hub.stop(signal);
      assert.equal((await fleet.sandboxes()).length, 1, "the sandbox runs on without a hub");
      await fleet.startHub({ port });
      const wanted = generated();
      assert.ok((await followed).equals(wanted), "the followed output is whole");
      assert.ok((await stdoutOf(client, job.id)).equals(wanted), "the stored output is whole");
      const { result, attempts, state } = await over(client, job.id);
      assert.deepEqual([state, result?.reason, result?.exitCode], ["succeeded", "exited", 0]);
      assert.equal(result?.output.stdoutBytes, wanted.length);
      assert.equal(attempts.length, 1);
      await eventually(async () => (await fleet.sandboxes()).length === 0);
    });
  }

  test("worker killed mid-job: its sandboxes end, its jobs are lost, and those that may be are run by another", async () => {
    await using fleet = await Fleet.make();
    await fleet.startHub({ intervals: shortIntervals });
    const profiles = await fleet.profiles("profiles", shellProfile);
    const first = await fleet.startWorker({ name: "first", profiles });
    const { client } = fleet;
    const lost = await client.jobs.submit(script("echo up; sleep 30; echo down"));
    const again = await client.jobs.submit(
      script("echo up; sleep 6; echo down", { retry: { maxAttempts: 2 } }),
    );
    await Promise.all([started(client, lost.id), started(client, again.id)]);
    assert.equal((await fleet.sandboxes("first")).length, 2);
    await first.stop("SIGKILL");
    await eventually(async () => (await fleet.sandboxes("first")).length === 0, 10_000);
    await fleet.startWorker({ name: "second", profiles });
    assert.deepEqual(verdictOf(await over(client, lost.id)), ["lost", "worker_lost", 1]);
    const rerun = await over(client, again.id);
    assert.deepEqual([rerun.state, rerun.result?.reason], ["succeeded", "exited"]);
    assert.deepEqual(
      rerun.attempts.map(({ workerId, reason }) => [workerId, reason]),
      [
        [fleet.workerId("first"), "worker_lost"],
        [fleet.workerId("second"), "exited"],
      ],
    );
    assert.equal((await stdoutOf(client, again.id)).toString(), "up\ndown\n");
  });

  test("worker killed and started again: it reaps its own leftovers only, and serves again", async () => {
    await using fleet = await Fleet.make();
    await fleet.startHub();
    const profiles = await fleet.profiles("profiles", shellProfile);
    const before = await fleet.startWorker({ profiles });
    const { client } = fleet;
    const job = await client.jobs.submit(script("echo up; sleep 5", { retry: { maxAttempts: 2 } }));
    await started(client, job.id);
    await before.stop("SIGKILL");
    const leftover = (worker: string): Promise<string> => leaveContainer(worker);
    const own = await leftover(fleet.workerId());
    await using others = new AsyncDisposableStack();
    for (const worker of ["worker-of-somebody-else", ""]) {
      const id = await leftover(worker);
      others.defer(() => rawEngine().getContainer(id).remove({ force: true }));
    }
    await fleet.startWorker({ profiles });
    assert.equal((await sandboxesOf({ worker: fleet.workerId() })).includes(own), false, "its own is gone");
    const rerun = await over(client, job.id);
    assert.deepEqual(
      [rerun.state, rerun.attempts.map(({ reason }) => reason)],
      ["succeeded", ["worker_lost", "exited"]],
    );
    // removing them succeeds only while they are there
    await others.disposeAsync();
  });
});

/** A container that was made and never started, as a worker that died would leave it. */
async function leaveContainer(worker: string): Promise<string> {
  const labels = worker === "" ? {} : { "dev.sallyport.worker": worker, "dev.sallyport.boot": "earlier" };
  const container = await rawEngine().createContainer({
    Image: "sallyport/base",
    Cmd: ["true"],
    NetworkDisabled: true,
    Labels: { ...labels, "dev.sallyport.created": String(Date.now()) },
  });
  return container.id;
}
