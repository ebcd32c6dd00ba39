/** What a late or repeated word about a lease does. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import { jobResultSchema } from "../../../src/protocol/index.ts";
import { attemptOutcome, claimOne, leaseOne, logPart, newJob, openSession } from "../../helpers/store.ts";
import { assertSuperseded, type Laws } from "./laws.ts";

export function fencesLaws({ engine, promise }: Laws): void {
  describe(`store (${engine.name}): fences`, () => {
    promise("accept, start and finish are recorded, and recorded again when told again", async (store) => {
      const session = await openSession(store);
      await store.jobs.submit(newJob("j1", { now: 1_000 }));
      const { lease } = await claimOne(store, session.id);
      assert.equal(await store.leases.accept(lease, 1_500), "recorded");
      assert.equal(await store.leases.accept(lease, 1_600), "recorded");
      assert.equal((await store.jobs.get("j1"))?.state, "leased");
      assert.equal(await store.leases.started(lease, 1_700), "recorded");
      assert.equal(await store.leases.started(lease, 1_800), "recorded");
      assert.equal((await store.jobs.get("j1"))?.state, "running");
      const first = await store.leases.finish(lease, attemptOutcome(), 2_000);
      const again = await store.leases.finish(lease, attemptOutcome({ exitCode: 1 }), 3_000);
      assert.deepEqual(again, first);
      assert.deepEqual(first.job?.attempts, [
        {
          attempt: 1,
          epoch: 2,
          workerId: "w1",
          leasedAt: 1_500,
          startedAt: 1_700,
          finishedAt: 2_000,
          reason: "exited",
          logEnd: 0,
        },
      ]);
      assert.deepEqual(first.job?.result, {
        state: "succeeded",
        exitCode: 0,
        signal: null,
        reason: "exited",
        attempt: 1,
        startedAt: new Date(1_700).toISOString(),
        finishedAt: new Date(2_000).toISOString(),
        timings: { queuedMs: 500, startMs: 3, runMs: 5, warm: true },
        usage: { cpuMs: 2, maxRssBytes: 4_096 },
        output: { stdoutBytes: 0, stderrBytes: 0, truncated: false, missing: null },
        oom: false,
        artifacts: [],
        calls: 0,
        error: null,
      });
      assert.deepEqual(jobResultSchema.parse(first.job?.result), first.job?.result);
    });

    promise("what is told of another attempt or epoch changes nothing", async (store) => {
      const session = await openSession(store);
      const { lease } = await leaseOne(store, session.id, newJob("j1"));
      const before = await store.jobs.get("j1");
      const others = [
        { ...lease, epoch: 3 },
        { ...lease, attempt: 2 },
        { ...lease, lease: "nobody" },
      ];
      for (const other of others) await assertSuperseded(store, other);
      assert.deepEqual(await store.jobs.get("j1"), before);
    });

    promise("an offer nobody accepted owns nothing", async (store) => {
      const session = await openSession(store);
      await store.jobs.submit(newJob("j1"));
      const { lease } = await claimOne(store, session.id);
      assert.equal(await store.leases.started(lease, 1), "superseded");
      assert.equal((await store.leases.finish(lease, attemptOutcome(), 1)).fenced, "superseded");
      assert.equal(await store.log.append(lease, { from: 0, ...logPart(["stdout", "x"]) }), "superseded");
      assert.equal(await store.leases.accept(lease, 1), "recorded");
    });

    promise(
      "an acceptance after the offer went back is superseded, also when it was offered anew",
      async (store) => {
        const session = await openSession(store);
        await store.jobs.submit(newJob("j1"));
        const { lease } = await claimOne(store, session.id);
        await store.leases.release(lease, 2_000);
        assert.equal(await store.leases.accept(lease, 1), "superseded");
        const next = await claimOne(store, session.id);
        assert.equal(await store.leases.accept(lease, 1), "superseded");
        assert.equal(await store.leases.release(lease, 2_000), "superseded");
        assert.equal(await store.leases.accept(next.lease, 1), "recorded");
        assert.equal(await store.leases.release(next.lease, 2_000), "superseded");
      },
    );

    promise("an attempt that was given up cannot end the one after it", async (store) => {
      const session = await openSession(store);
      const { lease } = await leaseOne(store, session.id, newJob("j1", { spec: { maxAttempts: 2 } }));
      await store.leases.expire(200_000);
      await assertSuperseded(store, lease);
      const { id } = await openSession(store, { workerId: "w2", leaseUntil: 900_000 });
      const next = await claimOne(store, id);
      assert.equal(next.lease.attempt, 2);
      await store.leases.accept(next.lease, 3);
      await assertSuperseded(store, lease);
      const { job } = await store.leases.finish(next.lease, attemptOutcome({ exitCode: 3 }), 300_000);
      assert.equal(job?.result?.exitCode, 3);
      await assertSuperseded(store, lease);
      assert.deepEqual((await store.jobs.get("j1"))?.result, job?.result);
    });

    promise("many tellings of one end at once leave one result", async (store) => {
      const session = await openSession(store);
      const { lease } = await leaseOne(store, session.id, newJob("j1"));
      const ends = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          store.leases.finish(lease, attemptOutcome({ exitCode: i }), 3_000 + i),
        ),
      );
      assert.deepEqual(new Set(ends.map(({ job }) => job?.result?.exitCode)), new Set([0]));
    });

    promise("one that fails takes none of its neighbours along", async (store) => {
      const session = await openSession(store);
      const { lease } = await leaseOne(store, session.id, newJob("j0"));
      const part = logPart(["stdout", "x"]);
      const results = await Promise.allSettled([
        store.jobs.submit(newJob("j1", { idempotencyKey: "k" })),
        store.jobs.submit(newJob("j2", { idempotencyKey: "k" })),
        store.log.append(lease, { from: 99, ...part }),
        store.log.append(lease, { from: 0, ...part }),
        store.jobs.submit(newJob("j3")),
      ]);
      assert.deepEqual(
        results.map(({ status }) => status),
        ["fulfilled", "rejected", "rejected", "fulfilled", "fulfilled"],
      );
      assert.deepEqual(
        await Promise.all(["j1", "j2", "j3"].map(async (id) => (await store.jobs.get(id)) !== null)),
        [true, false, true],
      );
      assert.equal((await store.log.end("j0", 1)).logEnd, part.bytes.length);
    });
  });
}
