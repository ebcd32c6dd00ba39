/** Pruning, the fleet, and whether the store is well. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import {
  attemptOutcome,
  claimOne,
  inputsOf,
  leaseOne,
  logPart,
  newJob,
  openSession,
  profileOffer,
} from "../../helpers/store.ts";
import { type Laws } from "./laws.ts";

export function keepingHouseLaws({ engine, promise, acrossLives }: Laws): void {
  describe(`store (${engine.name}): keeping house`, () => {
    promise("jobs that ended before the time go with all they left, the others stay", async (store) => {
      const { id } = await openSession(store);
      const part = logPart(["stdout", Buffer.alloc(200_000, 7)]);
      const ends = [1_000, 2_000, 3_000];
      for (const [i, now] of ends.entries()) {
        const { lease } = await leaseOne(
          store,
          id,
          newJob(`j${i}`, { inputs: new Uint8Array(99), idempotencyKey: `k${i}` }),
        );
        await store.log.append(lease, { from: 0, ...part });
        await store.log.putArtifact(lease, {
          path: "a",
          offset: 0,
          bytes: new Uint8Array(9),
          complete: true,
        });
        await store.leases.finish(lease, attemptOutcome(), now);
      }
      const open = await leaseOne(store, id, newJob("open"));
      assert.equal(await store.prune(3_000), 2);
      assert.equal(await store.prune(3_000), 0);
      assert.equal(await store.jobs.get("j0"), null);
      assert.deepEqual(await store.log.read("j0", 1, 0, 9), []);
      assert.equal(await store.jobs.inputs("j0", 0), null);
      assert.equal(await store.jobs.artifact("j0", "a"), null);
      assert.equal((await store.jobs.submit(newJob("j9", { idempotencyKey: "k0" }))).created, true);
      assert.equal((await store.log.end("j2", 1)).stdout, 200_000);
      assert.equal((await inputsOf(store, "j2")).length, 99);
      assert.equal((await store.leases.finish(open.lease, attemptOutcome(), 9_000)).fenced, "recorded");
      const claims = await store.leases.claim({ pool: "python", sessionId: id, limit: 9, now: 1 });
      assert.deepEqual(
        claims.map(({ jobId }) => jobId),
        ["j9"],
      );
    });

    promise("work goes on while much is pruned", async (store) => {
      const { id } = await openSession(store);
      await Promise.all(Array.from({ length: 600 }, (_, i) => store.jobs.submit(newJob(`j${i}`))));
      await Promise.all(Array.from({ length: 600 }, (_, i) => store.jobs.cancel(`j${i}`, 10)));
      const pruning = store.prune(11);
      for (let i = 0; i < 20; i++) {
        const { lease } = await leaseOne(store, id, newJob(`new${i}`));
        await store.leases.finish(lease, attemptOutcome(), 20);
      }
      assert.equal(await pruning, 600);
      assert.equal((await store.jobs.list({ limit: 500 })).jobs.length, 20);
    });

    acrossLives("profiles and workers are remembered", async (home) => {
      const before = await home.open();
      const { id } = await openSession(before, { workerId: "w1", now: 1_000 });
      await openSession(before, { workerId: "w2", bootId: "b7", leaseUntil: 5_000, now: 2_000 });
      await leaseOne(before, id, newJob("j1"));
      await before.jobs.submit(newJob("j2"));
      await claimOne(before, id);
      await before.leases.expire(6_000);
      await before.fleet.saveProfiles("w1", [profileOffer(), profileOffer({ name: "node" })], 1_000);
      await before.fleet.saveProfiles("w2", [profileOffer({ warm: 3 })], 2_000);
      await home.crash();
      const after = await home.open();
      assert.deepEqual(await after.fleet.profiles(), [
        { offer: profileOffer({ name: "node" }), workerId: "w1", seenAt: 1_000 },
        { offer: profileOffer({ warm: 3 }), workerId: "w2", seenAt: 2_000 },
      ]);
      assert.deepEqual(await after.fleet.workers(), [
        {
          workerId: "w1",
          bootId: "b1",
          hubId: "h1",
          sessionId: id,
          leaseUntil: 100_000,
          held: 1,
          lastSeenAt: 1_000,
        },
        {
          workerId: "w2",
          bootId: "b7",
          hubId: "h1",
          sessionId: null,
          leaseUntil: null,
          held: 0,
          lastSeenAt: 2_000,
        },
      ]);
    });

    acrossLives("a check passes while the store is well, and fails once it is gone", async (home) => {
      const store = await home.open();
      await store.check();
      await home.crash();
      await assert.rejects(store.check(), { code: "store_unavailable", retryable: true });
      await assert.rejects(store.jobs.get("j1"), { code: "store_unavailable" });
    });
  });
}
