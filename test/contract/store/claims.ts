/** Who is given which job, in which order. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import type { Claim } from "../../../src/store/index.ts";
import { claimOne, newJob, openSession } from "../../helpers/store.ts";
import { type Laws } from "./laws.ts";

export function claimsLaws({ engine, promise }: Laws): void {
  describe(`store (${engine.name}): claims`, () => {
    promise("jobs of one profile and one set of labels wait together", async (store) => {
      await store.jobs.submit(newJob("j1", { spec: { labels: { a: "1", b: "2" } }, now: 20 }));
      await store.jobs.submit(newJob("j2", { spec: { labels: { b: "2", a: "1" } }, now: 10 }));
      await store.jobs.submit(newJob("j3", { now: 30 }));
      const pools = (await store.leases.pools()).sort((a, b) => a.oldestAt - b.oldestAt);
      assert.deepEqual(
        pools.map(({ profile, labels, queued, oldestAt }) => ({ profile, labels, queued, oldestAt })),
        [
          { profile: "python", labels: { a: "1", b: "2" }, queued: 2, oldestAt: 10 },
          { profile: "python", labels: {}, queued: 1, oldestAt: 30 },
        ],
      );
      const session = await openSession(store);
      const pool = pools[0]?.pool ?? "";
      const claims = await store.leases.claim({ pool, sessionId: session.id, limit: 9, now: 40 });
      assert.deepEqual(
        claims.map(({ jobId }) => jobId),
        ["j1", "j2"],
      );
      assert.equal((await store.leases.pools()).length, 1);
    });

    promise("a claim names the attempt its acceptance would make, in an epoch of its own", async (store) => {
      const session = await openSession(store);
      await store.jobs.submit(newJob("j1", { inputs: new Uint8Array(1) }));
      const claim = await claimOne(store, session.id);
      const { spec } = newJob("j1");
      assert.deepEqual(claim, {
        lease: { lease: "j1", attempt: 1, epoch: 2 },
        jobId: "j1",
        tenant: "acme",
        spec,
        specBytes: JSON.stringify(spec).length,
      });
      await store.leases.release(claim.lease, 2_000);
      assert.deepEqual((await claimOne(store, session.id)).lease, { lease: "j1", attempt: 1, epoch: 3 });
    });

    promise("a claim takes no further job behind a mebibyte of specs, and at least one", async (store) => {
      const { id: sessionId } = await openSession(store);
      const spec = { env: { A: "x".repeat(700_000) } };
      for (let n = 0; n < 4; n += 1) await store.jobs.submit(newJob(`j${n}`, { spec }));
      await store.jobs.submit(newJob("j4", { spec: { env: { A: "x".repeat(2_000_000) } } }));
      const claims = async (): Promise<string[]> => {
        const claimed = await store.leases.claim({ pool: "python", sessionId, limit: 9, now: 1_000 });
        for (const { jobId, spec, specBytes } of claimed) {
          assert.deepEqual(spec, await store.jobs.spec(jobId));
          assert.equal(specBytes, JSON.stringify(spec).length);
        }
        return claimed.map(({ jobId }) => jobId);
      };
      assert.deepEqual(
        [await claims(), await claims(), await claims(), await claims()],
        [["j0", "j1"], ["j2", "j3"], ["j4"], []],
      );
    });

    promise("the first epoch is kept for the claim that goes along with the submission", async (store) => {
      const session = await openSession(store);
      const claimAlong = (along: string): Promise<Claim[]> =>
        store.leases.claim({ pool: "python", sessionId: session.id, limit: 1, now: 1_000, along });
      await store.jobs.submit(newJob("j1"));
      const [first] = await claimAlong("j1");
      assert.deepEqual(first?.lease, { lease: "j1", attempt: 1, epoch: 1 });
      await store.leases.release(first.lease, 2_000);
      assert.equal((await claimAlong("j1"))[0]?.lease.epoch, 2);
      await store.jobs.submit(newJob("j2"));
      await store.jobs.submit(newJob("j3"));
      assert.deepEqual((await claimAlong("j3"))[0]?.lease, { lease: "j2", attempt: 1, epoch: 2 });
      assert.deepEqual((await claimOne(store, session.id)).lease, { lease: "j3", attempt: 1, epoch: 2 });
    });

    promise("no job is claimed twice, however many claim at once", async (store) => {
      const sessions = await Promise.all(
        ["w1", "w2", "w3", "w4"].map((workerId) => openSession(store, { workerId })),
      );
      await Promise.all(Array.from({ length: 60 }, (_, i) => store.jobs.submit(newJob(`j${i}`))));
      const claims = await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          store.leases.claim({ pool: "python", sessionId: sessions[i % 4]?.id ?? "", limit: 3, now: 1 }),
        ),
      );
      const ids = claims.flat().map(({ jobId }) => jobId);
      assert.equal(ids.length, 60);
      assert.equal(new Set(ids).size, 60);
    });

    promise("a session that is over is given nothing", async (store) => {
      const session = await openSession(store);
      await store.jobs.submit(newJob("j1"));
      await store.leases.closeSession(session.id, 2_000);
      const request = { pool: "python", limit: 1, now: 3_000 };
      assert.deepEqual(await store.leases.claim({ ...request, sessionId: session.id }), []);
      assert.deepEqual(await store.leases.claim({ ...request, sessionId: "nobody" }), []);
    });

    promise("among the jobs of one tenant priority goes first, then age", async (store) => {
      const session = await openSession(store);
      for (const [id, priority] of [
        ["j1", 0],
        ["j2", 5],
        ["j3", -1],
        ["j4", 5],
      ] as const) {
        await store.jobs.submit(newJob(id, { spec: { priority } }));
      }
      const claims = await store.leases.claim({ pool: "python", sessionId: session.id, limit: 9, now: 1 });
      assert.deepEqual(
        claims.map(({ jobId }) => jobId),
        ["j2", "j4", "j1", "j3"],
      );
    });

    promise("priority counts among the jobs of one tenant, and takes no turn of another's", async (store) => {
      const session = await openSession(store);
      const submit = async (tenant: string, count: number, priority: number): Promise<void> => {
        for (let i = 0; i < count; i++)
          await store.jobs.submit(newJob(`${tenant}${priority}-${i}`, { tenant, spec: { priority } }));
      };
      const claim = async (limit: number): Promise<string[]> =>
        (await store.leases.claim({ pool: "python", sessionId: session.id, limit, now: 1 })).map(
          ({ jobId }) => jobId,
        );
      await submit("a", 2, 0);
      await submit("b", 4, 0);
      await submit("a", 2, 9);
      assert.deepEqual(await claim(3), ["a9-0", "b0-0", "a9-1"]);
      await submit("c", 2, 0);
      assert.deepEqual(await claim(9), ["b0-1", "a0-0", "b0-2", "c0-0", "a0-1", "b0-3", "c0-1"]);
    });

    promise("an urgent job whose offer comes back is its tenant's next again", async (store) => {
      const session = await openSession(store);
      await store.jobs.submit(newJob("a0", { tenant: "a" }));
      await store.jobs.submit(newJob("b0", { tenant: "b" }));
      await store.jobs.submit(newJob("a9", { tenant: "a", spec: { priority: 9 } }));
      const urgent = await claimOne(store, session.id);
      await store.leases.release(urgent.lease, 2_000);
      const claims = await store.leases.claim({ pool: "python", sessionId: session.id, limit: 3, now: 1 });
      assert.deepEqual(
        claims.map(({ jobId }) => jobId),
        ["a9", "b0", "a0"],
      );
    });

    promise("jobs that were cancelled while they waited leave their tenant no later turns", async (store) => {
      const session = await openSession(store);
      const submit = async (tenant: string, ...names: string[]): Promise<void> => {
        for (const name of names) await store.jobs.submit(newJob(name, { tenant }));
      };
      const claim = async (limit: number): Promise<string[]> =>
        (await store.leases.claim({ pool: "python", sessionId: session.id, limit, now: 1 })).map(
          ({ jobId }) => jobId,
        );
      await submit("a", "a0", "a1", "a2", "a3", "a4");
      await submit("b", "b0", "b1", "b2", "b3", "b4", "b5");
      await Promise.all(["a0", "a1", "a3"].map((id) => store.jobs.cancel(id, 2)));
      await submit("a", "a5");
      assert.deepEqual(await claim(5), ["a2", "b0", "a4", "b1", "a5"]);
      await submit("a", "a6", "a7");
      for (const id of ["a7", "a6"]) await store.jobs.cancel(id, 3);
      await submit("a", "a8");
      assert.deepEqual(await claim(9), ["b2", "a8", "b3", "b4", "b5"]);
    });

    promise("tenants with a backlog are served by their weights", async (store) => {
      const session = await openSession(store);
      const submit = (tenant: string, weight: number, count: number) =>
        Promise.all(
          Array.from({ length: count }, (_, i) =>
            store.jobs.submit(newJob(`${tenant}${i}`, { tenant, weight })),
          ),
        );
      const shares = async (limit: number): Promise<Record<string, number>> => {
        const claims = await store.leases.claim({ pool: "python", sessionId: session.id, limit, now: 1 });
        return Object.fromEntries(
          ["a", "b", "c"].map((tenant) => [tenant, claims.filter((claim) => claim.tenant === tenant).length]),
        );
      };
      const near = (actual: Record<string, number>, expected: Record<string, number>): void => {
        for (const [tenant, share] of Object.entries(expected)) {
          const got = actual[tenant] ?? 0;
          assert.ok(Math.abs(got - share) <= 1, `${tenant}: ${got} instead of ${share}`);
        }
      };
      await submit("a", 1, 400);
      await shares(20);
      await submit("b", 1, 60);
      await submit("c", 2, 200);
      near(await shares(40), { a: 10, b: 10, c: 20 });
      near(await shares(160), { a: 40, b: 40, c: 80 });
      near(await shares(40), { a: 10, b: 10, c: 20 });
      near(await shares(60), { a: 20, b: 0, c: 40 });
    });

    promise("a tenant that was away gets no credit for it", async (store) => {
      const session = await openSession(store);
      const submit = async (tenant: string, count: number): Promise<void> => {
        for (let i = 0; i < count; i++) await store.jobs.submit(newJob(`${tenant}${i}`, { tenant }));
      };
      const claim = async (limit: number): Promise<string> =>
        (await store.leases.claim({ pool: "python", sessionId: session.id, limit, now: 1 }))
          .map(({ tenant }) => tenant)
          .join("");
      await submit("a", 30);
      await claim(10);
      await submit("b", 10);
      const next = await claim(10);
      assert.ok(/^(ab|ba)+$/.test(next), next);
    });

    promise("an offer that comes back stands where it stood", async (store) => {
      const session = await openSession(store);
      for (const id of ["j1", "j2", "j3"]) await store.jobs.submit(newJob(id));
      const first = await claimOne(store, session.id);
      const second = await claimOne(store, session.id);
      assert.equal(await store.leases.release(first.lease, 2_000), "recorded");
      assert.equal(await store.leases.release(second.lease, 2_000), "recorded");
      assert.equal(await store.leases.release(second.lease, 2_000), "recorded", "again");
      const order = await store.leases.claim({ pool: "python", sessionId: session.id, limit: 3, now: 1 });
      assert.deepEqual(
        order.map(({ jobId }) => jobId),
        ["j1", "j2", "j3"],
      );
      assert.deepEqual((await store.jobs.get("j1"))?.attempts, [], "no attempt was spent");
    });
  });
}
