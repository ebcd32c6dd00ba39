/** What a cancel does in each state. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import { jobResultSchema } from "../../../src/protocol/index.ts";
import { attemptOutcome, claimOne, leaseOne, logPart, newJob, openSession } from "../../helpers/store.ts";
import { assertSuperseded, type Laws } from "./laws.ts";

export function cancellingLaws({ engine, promise }: Laws): void {
  describe(`store (${engine.name}): cancelling`, () => {
    promise("a job that waits ends at once", async (store) => {
      await store.jobs.submit(newJob("j1", { now: 1_000 }));
      const cancelled = await store.jobs.cancel("j1", 1_400);
      const result = cancelled?.job.result;
      assert.deepEqual([cancelled?.ended, cancelled?.lease], [true, null]);
      assert.deepEqual(
        [result?.state, result?.reason, result?.attempt, result?.timings.queuedMs],
        ["cancelled", "cancelled", 0, 400],
      );
      assert.deepEqual(jobResultSchema.parse(result), result);
      assert.deepEqual(await store.leases.pools(), []);
    });

    promise(
      "of a job on offer the command may have started: the wish is kept, and goes with the acceptance",
      async (store) => {
        const { id } = await openSession(store);
        await store.jobs.submit(newJob("j1"));
        const { lease } = await claimOne(store, id);
        const cancelled = await store.jobs.cancel("j1", 1_400);
        assert.deepEqual([cancelled?.ended, cancelled?.job.result], [false, null]);
        assert.deepEqual(cancelled?.lease, { lease, jobId: "j1", sessionId: id, workerId: "w1" });
        assert.equal(await store.leases.accept(lease, 1_500), "recorded");
        assert.deepEqual((await store.leases.renew(id, 200_000))?.cancelled, [lease]);
      },
    );

    promise("an offer that comes back is over if it was cancelled meanwhile", async (store) => {
      const { id } = await openSession(store);
      await store.jobs.submit(newJob("j1"));
      await store.jobs.submit(newJob("j2"));
      const [refused, lost] = [await claimOne(store, id), await claimOne(store, id)];
      for (const { jobId } of [refused, lost]) await store.jobs.cancel(jobId, 1_400);
      assert.equal(await store.leases.release(refused.lease, 2_000), "recorded");
      await openSession(store, { held: [] });
      for (const { jobId, lease } of [refused, lost]) {
        const job = await store.jobs.get(jobId);
        assert.deepEqual([job?.state, job?.result?.attempt, job?.attempts], ["cancelled", 0, []]);
        await assertSuperseded(store, lease);
      }
      assert.deepEqual(await store.leases.pools(), []);
    });

    promise(
      "for a job that is held the wish is kept, told with every renewal, and names who to tell",
      async (store) => {
        const { id } = await openSession(store);
        const { lease } = await leaseOne(store, id, newJob("j1"));
        const cancelled = await store.jobs.cancel("j1", 3_000);
        assert.equal(cancelled?.ended, false);
        assert.deepEqual(cancelled?.lease, { lease, jobId: "j1", sessionId: id, workerId: "w1" });
        assert.deepEqual([cancelled?.job.state, cancelled?.job.cancelRequested], ["leased", true]);
        assert.deepEqual(await store.leases.renew(id, 200_000), { refs: [lease], cancelled: [lease] });
        const { job } = await store.leases.finish(lease, attemptOutcome(), 4_000);
        assert.equal(job?.state, "succeeded", "a cancel that came too late leaves the true result");
        const late = await store.jobs.cancel("j1", 5_000);
        assert.deepEqual([late?.ended, late?.lease, late?.job.result], [false, null, job?.result]);
      },
    );

    promise(
      "a job cancelled while it waits for another attempt tells what its last one printed",
      async (store) => {
        const { id } = await openSession(store);
        const { lease } = await leaseOne(store, id, newJob("j1", { spec: { maxAttempts: 2 } }));
        await store.log.append(lease, { from: 0, ...logPart(["stdout", "one"], ["stderr", "io"]) });
        await store.leases.closeSession(id, 3_000);
        const cancelled = await store.jobs.cancel("j1", 4_000);
        const { attempt, output } = cancelled?.job.result ?? {};
        assert.deepEqual([cancelled?.ended, attempt], [true, 1]);
        assert.deepEqual(output, { stdoutBytes: 3, stderrBytes: 2, truncated: false, missing: null });
      },
    );

    promise("a job whose cancel is pending is not queued again", async (store) => {
      const { id } = await openSession(store);
      await leaseOne(store, id, newJob("j1", { spec: { maxAttempts: 3 } }));
      await store.jobs.cancel("j1", 3_000);
      assert.deepEqual(await store.leases.expire(200_000), [{ jobId: "j1", requeued: false }]);
      const job = await store.jobs.get("j1");
      assert.deepEqual(
        [job?.state, job?.result?.reason, job?.attempts[0]?.reason],
        ["cancelled", "cancelled", "worker_lost"],
      );
    });

    promise("nothing is known of an unknown job", async (store) => {
      assert.equal(await store.jobs.cancel("nobody", 1), null);
      assert.equal(await store.jobs.get("nobody"), null);
    });
  });
}
