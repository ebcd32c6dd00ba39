/** How jobs come in, and how they are found. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import type { JobRecord } from "../../../src/store/index.ts";
import { attemptOutcome, claimOne, inputsOf, leaseOne, newJob, openSession } from "../../helpers/store.ts";
import { type Laws } from "./laws.ts";

export function submissionLaws({ engine, promise, acrossLives }: Laws): void {
  describe(`store (${engine.name}): submission`, () => {
    acrossLives("a submitted job is there whole, and still is after the store died", async (home) => {
      const first = await home.open();
      const labels = { gpu: "a", arch: 'x "1"' };
      const job = newJob("j1", { spec: { env: { A: "ä\u0001" }, labels, priority: 7 }, now: 1_234 });
      const { job: made, created } = await first.jobs.submit(job);
      assert.equal(created, true);
      await home.crash();
      const { jobs } = await home.open();
      const found = await jobs.get("j1");
      assert.deepEqual(found, made);
      assert.deepEqual(found, {
        id: "j1",
        tenant: "acme",
        state: "queued",
        profile: job.spec.profile,
        priority: 7,
        labels,
        createdAt: 1_234,
        attempts: [],
        cancelRequested: false,
        result: null,
      });
      assert.deepEqual([await jobs.spec("j1"), await jobs.spec("j2")], [job.spec, null]);
      await jobs.cancel("j1", 2_000);
      const ended = await jobs.get("j1");
      assert.deepEqual([ended?.state, ended?.priority, ended?.labels], ["cancelled", 7, labels]);
    });

    promise("one key and one request make one job", async (store) => {
      const job = newJob("j1", { idempotencyKey: "k", requestDigest: "d" });
      await store.jobs.submit(job);
      const again = await store.jobs.submit({ ...job, id: "j2" });
      assert.deepEqual({ id: again.job.id, created: again.created }, { id: "j1", created: false });
      assert.equal(await store.jobs.get("j2"), null);
    });

    promise("one key for two requests is refused, for two tenants it is two keys", async (store) => {
      await store.jobs.submit(newJob("j1", { idempotencyKey: "k", requestDigest: "d" }));
      await assert.rejects(store.jobs.submit(newJob("j2", { idempotencyKey: "k", requestDigest: "e" })), {
        code: "idempotency_mismatch",
      });
      const other = await store.jobs.submit(newJob("j3", { idempotencyKey: "k", tenant: "other" }));
      assert.equal(other.created, true);
    });

    promise("the same job submitted again, its answer having been lost, is one job", async (store) => {
      await store.jobs.submit(newJob("j1"));
      assert.equal((await store.jobs.submit(newJob("j1"))).created, false);
      assert.deepEqual(
        (await store.leases.pools()).map(({ queued }) => queued),
        [1],
      );
    });

    promise(
      "a full queue says so and takes jobs again once some are claimed",
      async (store) => {
        const session = await openSession(store);
        await store.jobs.submit(newJob("j1"));
        await store.jobs.submit(newJob("j2", { idempotencyKey: "k" }));
        await assert.rejects(store.jobs.submit(newJob("j3")), { code: "queue_full", retryable: true });
        assert.equal((await store.jobs.submit(newJob("j2", { idempotencyKey: "k" }))).created, false);
        await claimOne(store, session.id);
        assert.equal((await store.jobs.submit(newJob("j3"))).created, true);
      },
      { queueCap: 2 },
    );

    promise("a weight that is no share is refused", async (store) => {
      await assert.rejects(store.jobs.submit(newJob("j1", { weight: 0 })), { code: "request_invalid" });
      await assert.rejects(store.jobs.submit(newJob("j1", { weight: Number.NaN })), {
        code: "request_invalid",
      });
    });

    promise("inputs come back byte by byte, and the submitter's bytes stay its own", async (store) => {
      const inputs = Uint8Array.from({ length: 2 * 2 ** 20 + 7 }, (_, i) => (i * 31) % 251);
      const before = inputs.slice();
      await store.jobs.submit(newJob("j1", { inputs }));
      assert.deepEqual(inputs, before);
      assert.ok((await inputsOf(store, "j1")).equals(before));
      assert.ok(((await store.jobs.inputs("j1", 0))?.length ?? Infinity) <= 2 ** 20);
      await store.jobs.submit(newJob("j2"));
      assert.equal(await store.jobs.inputs("j2", 0), null);
      assert.equal(await store.jobs.inputs("nobody", 0), null);
    });

    promise("a page ends behind large results, and the next one goes on from there", async (store) => {
      const session = await openSession(store);
      const error = { code: "internal", message: "x".repeat(400_000) } as const;
      for (let i = 0; i < 7; i += 1) {
        const { lease } = await leaseOne(store, session.id, newJob(`j${i}`));
        await store.leases.finish(lease, attemptOutcome({ reason: "sandbox_lost", error }), 3_000);
      }
      const pages: string[] = [];
      for (let cursor: string | undefined = ""; cursor !== undefined;) {
        const page = await store.jobs.list({ limit: 500, states: ["lost"], ...(cursor && { cursor }) });
        pages.push(page.jobs.map(({ id }) => id).join(" "));
        cursor = page.next ?? undefined;
      }
      assert.deepEqual(pages, ["j6 j5 j4", "j3 j2 j1", "j0"]);
    });

    promise("jobs are listed newest first, page by page, by tenant, state and profile", async (store) => {
      const session = await openSession(store);
      for (let i = 0; i < 7; i++) {
        const spec = { profile: i === 3 ? "node" : "python" };
        await store.jobs.submit(newJob(`j${i}`, { tenant: i % 2 === 0 ? "even" : "odd", spec }));
      }
      const ids = (jobs: JobRecord[]): string[] => jobs.map(({ id }) => id);
      const first = await store.jobs.list({ limit: 3 });
      assert.deepEqual(ids(first.jobs), ["j6", "j5", "j4"]);
      const second = await store.jobs.list({ limit: 4, cursor: first.next ?? "" });
      assert.deepEqual([ids(second.jobs), second.next], [["j3", "j2", "j1", "j0"], null]);
      assert.deepEqual(ids((await store.jobs.list({ limit: 9, tenant: "odd" })).jobs), ["j5", "j3", "j1"]);
      assert.deepEqual(ids((await store.jobs.list({ limit: 9, profile: "node" })).jobs), ["j3"]);
      const claim = await claimOne(store, session.id);
      await store.jobs.cancel("j5", 3_000);
      assert.deepEqual(ids((await store.jobs.list({ limit: 9, states: ["cancelled"] })).jobs), ["j5"]);
      const waiting = await store.jobs.list({ limit: 9, states: ["queued"] });
      assert.ok(ids(waiting.jobs).includes(claim.jobId), "an offered job is told as queued");
      assert.deepEqual(ids((await store.jobs.list({ limit: 2, states: ["queued", "cancelled"] })).jobs), [
        "j6",
        "j5",
      ]);
      await assert.rejects(store.jobs.list({ limit: 1, cursor: "*" }), { code: "request_invalid" });
    });
  });
}
