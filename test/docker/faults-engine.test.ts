/** The engine stops under running jobs: one true verdict each, no hang, and the worker goes on by itself once it is back. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { requireEngine } from "../helpers/docker.ts";
import type { Process } from "../helpers/fleet-process.ts";
import { Fleet } from "../helpers/fleet.ts";
import { over, script, shellProfile, stdoutOf, verdictOf } from "../helpers/fleet-jobs.ts";
import { eventually } from "../helpers/hub.ts";
import { OwnEngine, requireOwnEngine } from "../helpers/own-engine.ts";

/** What an engine that is just back does not remove in 30 s is the reaper's: it looks every 30 s for what is 60 s old. */
const reapedMs = 150_000;

const skip = (await requireEngine()) || (await requireOwnEngine());

describe("the engine stops", { skip }, () => {
  let fleet: Fleet;
  let engine: OwnEngine;
  let worker: Process;

  before(async () => {
    engine = await OwnEngine.start("sallyport/base");
    fleet = await Fleet.make();
    await fleet.startHub();
    const profiles = await fleet.profiles("profiles", shellProfile);
    worker = await fleet.startWorker({ profiles, dockerHost: engine.dockerHost, slots: 4 });
  });

  after(async () => {
    await fleet[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
  });

  async function worksAgain(): Promise<void> {
    const { client } = fleet;
    await eventually(async () => {
      const [profile] = await client.profiles.list();
      return profile?.workers === 1;
    }, 60_000);
    const job = await client.jobs.submit(script("echo again"));
    assert.deepEqual(verdictOf(await over(client, job.id)), ["succeeded", "exited", 1]);
    assert.equal((await stdoutOf(client, job.id)).toString(), "again\n");
    await eventually(async () => (await engine.containers()).length === 0, reapedMs);
  }

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`engine ended by ${signal} mid-job: its jobs are lost, said once, and new ones run when it is back`, async () => {
      const { client } = fleet;
      const jobs = await Promise.all(
        [0, 1].map((at) => client.jobs.submit(script(`echo job ${at}; sleep 120`))),
      );
      for (const { id } of jobs) await eventually(async () => (await stdoutOf(client, id)).length > 0);
      await engine.down(signal);
      for (const [at, { id }] of jobs.entries()) {
        assert.deepEqual(verdictOf(await over(client, id)), ["lost", "sandbox_lost", 1]);
        assert.equal((await stdoutOf(client, id)).toString(), `job ${at}\n`);
      }
      assert.ok(worker.running);
      await engine.up();
      await worksAgain();
    });
  }

  test("a job submitted while the engine is away waits for it, or is refused with the reason", async () => {
    const { client } = fleet;
    await engine.down("SIGTERM");
    const job = await client.jobs.submit(script("echo waited"));
    await eventually(async () => {
      const [profile] = await client.profiles.list();
      return profile?.unusable?.code === "engine_unavailable";
    }, 20_000);
    await assert.rejects(client.jobs.submit(script("echo refused")), { code: "profile_unusable" });
    await engine.up();
    const end = await over(client, job.id);
    assert.deepEqual([end.state, end.result?.reason], ["succeeded", "exited"]);
    assert.equal((await stdoutOf(client, job.id)).toString(), "waited\n");
    await worksAgain();
  });
});
