/** Workers that come back, forget, leave or vanish. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import { jobResultSchema, turnOf, type HeldLease } from "../../../src/protocol/index.ts";
import type { Claim } from "../../../src/store/index.ts";
import { attemptOutcome, claimOne, leaseOne, logPart, newJob, openSession } from "../../helpers/store.ts";
import { type Laws } from "./laws.ts";

export function sessionsLaws({ engine, promise, acrossLives }: Laws): void {
  describe(`store (${engine.name}): sessions`, () => {
    const held = (claim: Claim, to = 0): HeldLease => ({ ...claim.lease, kind: "job", from: 0, to });

    promise("a worker that comes back goes on from the durable end of each log", async (store) => {
      const first = await openSession(store);
      const running = await leaseOne(store, first.id, newJob("j1"));
      const done = await leaseOne(store, first.id, newJob("j2"));
      const part = logPart(["stdout", "abc"]);
      await store.log.append(running.lease, { from: 0, ...part });
      await store.leases.finish(done.lease, attemptOutcome(), 3_000);
      const unknown = { ...held(running), lease: "nobody" };
      const session = { ...held(running), lease: "s1", kind: "session" as const };
      const second = await openSession(store, {
        held: [held(running, 500), held(done), unknown, session],
        hubId: "h2",
      });
      assert.notEqual(second.id, first.id);
      assert.deepEqual(
        second.verdicts.map(({ lease, verdict, from }) => [lease, verdict, from]),
        [
          ["j1", "continue", part.bytes.length],
          ["j2", "finished", 0],
          ["nobody", "kill", 0],
          ["s1", "kill", 0],
        ],
      );
      assert.equal(await store.leases.renew(first.id, 1), null, "the connection before it renews nothing");
      assert.deepEqual((await store.leases.renew(second.id, 200_000))?.refs, [running.lease]);
      assert.equal(await store.leases.started(running.lease, 5), "recorded");
    });

    promise("what it does not hold any more is lost, an offer goes back", async (store) => {
      const first = await openSession(store);
      const kept = await leaseOne(store, first.id, newJob("j1"));
      await leaseOne(store, first.id, newJob("j2"));
      await leaseOne(store, first.id, newJob("j3", { spec: { maxAttempts: 2 } }));
      await store.jobs.submit(newJob("j4"));
      await claimOne(store, first.id);
      const { verdicts } = await openSession(store, { held: [held(kept)] });
      assert.deepEqual(
        verdicts.map(({ verdict }) => verdict),
        ["continue"],
      );
      const states = await Promise.all(
        ["j1", "j2", "j3", "j4"].map(async (id) => (await store.jobs.get(id))?.state),
      );
      assert.deepEqual(states, ["leased", "lost", "queued", "queued"]);
      const lost = (await store.jobs.get("j2"))?.result;
      assert.equal(lost?.reason, "worker_lost");
      assert.deepEqual(jobResultSchema.parse(lost), lost);
    });

    promise("an offer the worker holds was accepted, though the acceptance never came", async (store) => {
      const first = await openSession(store);
      await store.jobs.submit(newJob("j1"));
      const claim = await claimOne(store, first.id);
      const { verdicts } = await openSession(store, { held: [held(claim)] });
      assert.deepEqual(
        verdicts.map(({ verdict, from }) => [verdict, from]),
        [["continue", 0]],
      );
      assert.equal((await store.jobs.get("j1"))?.state, "leased");
      assert.equal(await store.leases.accept(claim.lease, 1), "recorded", "should it come after all");
      assert.equal((await store.jobs.get("j1"))?.attempts.length, 1);
    });

    promise("another life of the worker holds nothing of the one before", async (store) => {
      const first = await openSession(store);
      const claim = await leaseOne(store, first.id, newJob("j1"));
      const retried = await leaseOne(store, first.id, newJob("j2", { spec: { maxAttempts: 2 } }));
      const { verdicts } = await openSession(store, { bootId: "b2", held: [held(claim), held(retried)] });
      assert.deepEqual(
        verdicts.map(({ verdict }) => verdict),
        ["kill", "kill"],
      );
      assert.equal((await store.jobs.get("j1"))?.state, "lost");
      assert.equal((await store.jobs.get("j2"))?.state, "queued");
      assert.equal(await store.leases.renew(first.id, 1), null);
    });

    promise("a lease of one worker is killed at another", async (store) => {
      const first = await openSession(store);
      const claim = await leaseOne(store, first.id, newJob("j1"));
      const { verdicts } = await openSession(store, { workerId: "w2", held: [held(claim)] });
      assert.deepEqual(
        verdicts.map(({ verdict }) => verdict),
        ["kill"],
      );
      assert.equal((await store.jobs.get("j1"))?.state, "leased");
    });

    promise("a job that ended without its worker is killed there, not called finished", async (store) => {
      const first = await openSession(store);
      const claim = await leaseOne(store, first.id, newJob("j1"));
      await store.leases.expire(200_000);
      const { verdicts } = await openSession(store, { held: [held(claim)] });
      assert.deepEqual(
        verdicts.map(({ verdict }) => verdict),
        ["kill"],
      );
    });

    promise(
      "reconciling loses what the worker does not know, and leaves offers on their way alone",
      async (store) => {
        const { id } = await openSession(store);
        const kept = await leaseOne(store, id, newJob("j1"));
        await leaseOne(store, id, newJob("j2"));
        await store.jobs.submit(newJob("j3"));
        const offer = await claimOne(store, id);
        const unknown = { ...held(kept), epoch: 9 };
        const verdicts = await store.leases.reconcile(id, [held(kept), unknown], 3_000);
        assert.deepEqual(
          verdicts.map(({ verdict }) => verdict),
          ["continue", "kill"],
        );
        assert.equal((await store.jobs.get("j2"))?.state, "lost");
        assert.equal(await store.leases.accept(offer.lease, 4_000), "recorded");
        assert.deepEqual(
          (await store.leases.reconcile("nobody", [held(kept)], 5_000)).map(({ verdict }) => verdict),
          ["kill"],
        );
        assert.equal((await store.jobs.get("j1"))?.state, "leased");
      },
    );

    promise("a session ends when its lease is over and not before; renewing keeps it", async (store) => {
      const { id } = await openSession(store, { leaseUntil: 10_000 });
      await leaseOne(store, id, newJob("j1"));
      await store.jobs.submit(newJob("j2"));
      await claimOne(store, id);
      assert.deepEqual(await store.leases.expire(9_999), []);
      await store.leases.renew(id, 20_000);
      assert.deepEqual(await store.leases.expire(19_999), []);
      assert.deepEqual(await store.leases.expire(20_000), [
        { jobId: "j1", requeued: false },
        { jobId: "j2", requeued: false },
      ]);
      assert.deepEqual(await store.leases.expire(20_000), []);
      assert.equal(await store.leases.renew(id, 30_000), null);
    });

    promise(
      "what was offered to a worker that never came back may have started: it spends an attempt",
      async (store) => {
        const { id } = await openSession(store, { leaseUntil: 10_000 });
        await store.jobs.submit(newJob("j1"));
        await store.jobs.submit(newJob("j2", { spec: { maxAttempts: 2 } }));
        const claims = [await claimOne(store, id), await claimOne(store, id)];
        await store.leases.expire(10_000);
        const lost = (await store.jobs.get("j1"))?.result;
        assert.deepEqual([lost?.state, lost?.reason, lost?.attempt], ["lost", "worker_lost", 1]);
        const again = await store.jobs.get("j2");
        assert.deepEqual(
          [again?.state, again?.attempts.map(({ reason }) => reason)],
          ["queued", ["worker_lost"]],
        );
        for (const { lease } of claims) assert.equal(await store.leases.accept(lease, 11_000), "superseded");
      },
    );

    promise("what was offered to a worker that was started anew may have started, too", async (store) => {
      const { id } = await openSession(store);
      await store.jobs.submit(newJob("j1"));
      await claimOne(store, id);
      await openSession(store, { bootId: "another boot" });
      assert.equal((await store.jobs.get("j1"))?.result?.reason, "worker_lost");
    });

    promise("a hello that comes behind a later one of the same boot takes nothing away", async (store) => {
      await openSession(store, { turn: 1 });
      const { id } = await openSession(store, { turn: 3, hubId: "h2" });
      const claim = await leaseOne(store, id, newJob("j1", { spec: { maxAttempts: 3 } }));
      for (const turn of [2, 3]) {
        await assert.rejects(openSession(store, { turn }), { code: "lease_superseded" });
      }
      assert.deepEqual((await store.leases.renew(id, 200_000))?.refs, [claim.lease]);
      const { verdicts } = await openSession(store, { turn: 4, held: [held(claim)] });
      assert.deepEqual(
        verdicts.map(({ verdict }) => verdict),
        ["continue"],
      );
      await openSession(store, { turn: 1, bootId: "b2" });
    });

    promise("a hello of an earlier life takes nothing from a later one", async (store) => {
      const { id } = await openSession(store, { turn: turnOf(8, 1), bootId: "b8" });
      const claim = await leaseOne(store, id, newJob("j1", { spec: { maxAttempts: 3 } }));
      for (const turn of [turnOf(7, 1), turnOf(7, 999), turnOf(8, 1)]) {
        await assert.rejects(openSession(store, { turn, bootId: "b7" }), { code: "lease_superseded" });
      }
      assert.deepEqual((await store.leases.renew(id, 200_000))?.refs, [claim.lease], "its lease goes on");
      await openSession(store, { turn: turnOf(9, 1), bootId: "b9" });
      assert.equal((await store.jobs.get("j1"))?.attempts[0]?.reason, "worker_lost", "a later life ends it");
      await openSession(store, { turn: 1, bootId: "of a build that counts from 1" });
      await openSession(store, { turn: turnOf(10, 1), bootId: "b10" });
    });

    promise("a worker that leaves with something in hand loses it", async (store) => {
      const { id } = await openSession(store);
      await leaseOne(store, id, newJob("j1"));
      await store.leases.closeSession(id, 3_000);
      await store.leases.closeSession(id, 3_000);
      assert.equal((await store.jobs.get("j1"))?.state, "lost");
    });

    acrossLives("leases outlive the store's process", async (home) => {
      const before = await home.open();
      const { id } = await openSession(before);
      const { lease } = await leaseOne(before, id, newJob("j1"));
      await home.crash();
      const after = await home.open();
      assert.deepEqual(await after.leases.renew(id, 200_000), { refs: [lease], cancelled: [] });
      assert.equal((await after.leases.finish(lease, attemptOutcome(), 9)).fenced, "recorded");
    });
  });
}
