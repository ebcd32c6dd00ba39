/** What every store promises, asked of any engine. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  jobResultSchema,
  terminalState,
  type AttemptOutcome,
  type HeldLease,
} from "../../src/protocol/index.ts";
import type { Claim, JobRecord, Store } from "../../src/store/index.ts";
import {
  attemptOutcome,
  claimOne,
  leaseOne,
  logPart,
  newJob,
  openSession,
  profileOffer,
  type OpenOptions,
  type StoreEngine,
  type StoreHome,
} from "../helpers/store.ts";

export function storeSuite(engine: StoreEngine): void {
  const promise = (name: string, body: (store: Store) => Promise<void>, options?: OpenOptions): void => {
    void test(name, async () => {
      await using home = await engine.home();
      await body(await home.open(options));
    });
  };
  const acrossLives = (name: string, body: (home: StoreHome) => Promise<void>): void => {
    void test(name, async () => {
      await using home = await engine.home();
      await body(home);
    });
  };

  describe(`store (${engine.name}): submission`, () => {
    acrossLives("a submitted job is there whole, and still is after the store died", async (home) => {
      const first = await home.open();
      const job = newJob("j1", { spec: { env: { A: "ä\u0001" }, labels: { gpu: "a" } }, now: 1_234 });
      const { job: made, created } = await first.jobs.submit(job);
      assert.equal(created, true);
      await home.crash();
      const found = await (await home.open()).jobs.get("j1");
      assert.deepEqual(found, made);
      assert.deepEqual(found, {
        id: "j1",
        tenant: "acme",
        state: "queued",
        spec: job.spec,
        createdAt: 1_234,
        attempts: [],
        cancelRequested: false,
        result: null,
      });
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
      assert.ok(Buffer.from((await store.jobs.inputs("j1")) ?? []).equals(before));
      await store.jobs.submit(newJob("j2"));
      assert.equal(await store.jobs.inputs("j2"), null);
      assert.equal(await store.jobs.inputs("nobody"), null);
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
        lease: { lease: "j1", attempt: 1, epoch: 1 },
        jobId: "j1",
        tenant: "acme",
        spec,
        hasInputs: true,
      });
      await store.leases.release(claim.lease);
      assert.deepEqual((await claimOne(store, session.id)).lease, { lease: "j1", attempt: 1, epoch: 2 });
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

    promise("priority goes first, then age", async (store) => {
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
      assert.equal(await store.leases.release(first.lease), "recorded");
      assert.equal(await store.leases.release(second.lease), "recorded");
      assert.equal(await store.leases.release(second.lease), "recorded", "again");
      const order = await store.leases.claim({ pool: "python", sessionId: session.id, limit: 3, now: 1 });
      assert.deepEqual(
        order.map(({ jobId }) => jobId),
        ["j1", "j2", "j3"],
      );
      assert.deepEqual((await store.jobs.get("j1"))?.attempts, [], "no attempt was spent");
    });
  });

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
          epoch: 1,
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
        { ...lease, epoch: 2 },
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
        await store.leases.release(lease);
        assert.equal(await store.leases.accept(lease, 1), "superseded");
        const next = await claimOne(store, session.id);
        assert.equal(await store.leases.accept(lease, 1), "superseded");
        assert.equal(await store.leases.release(lease), "superseded");
        assert.equal(await store.leases.accept(next.lease, 1), "recorded");
        assert.equal(await store.leases.release(next.lease), "superseded");
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

  describe(`store (${engine.name}): ends and retries`, () => {
    const never = (code: string | null): Partial<AttemptOutcome> => ({
      reason: "never_started",
      exitCode: null,
      error: code === null ? null : { code, message: "no" },
    });
    /** Runs attempts with the same outcome until the job ends. */
    const runOut = async (store: Store, maxAttempts: number, outcome: AttemptOutcome): Promise<JobRecord> => {
      const { id } = await openSession(store);
      await store.jobs.submit(newJob("j1", { spec: { maxAttempts } }));
      for (let attempt = 1; attempt <= 30; attempt++) {
        const { lease } = await claimOne(store, id);
        assert.equal(lease.attempt, attempt);
        await store.leases.accept(lease, 1);
        const { requeued, job } = await store.leases.finish(lease, outcome, 2);
        assert.equal(job?.state === "queued", requeued);
        if (!requeued && job !== null) return job;
      }
      throw new Error("never ended");
    };

    for (const [reason, exitCode] of [
      ["exited", 0],
      ["exited", 7],
      ["signaled", null],
      ["oom", 137],
      ["timeout", null],
      ["output_limit", null],
      ["cancelled", null],
    ] as const) {
      promise(`${reason} (${exitCode}) is a result, however many attempts are allowed`, async (store) => {
        const job = await runOut(store, 5, attemptOutcome({ reason, exitCode }));
        const state = terminalState(reason, exitCode);
        assert.deepEqual([job.state, job.result?.state, job.result?.reason], [state, state, reason]);
        assert.equal(job.attempts.length, 1);
      });
    }

    const retries: [string, number, Partial<AttemptOutcome>, number, string][] = [
      ["a lost worker", 1, { reason: "worker_lost", exitCode: null }, 1, "lost"],
      ["a lost worker", 3, { reason: "worker_lost", exitCode: null }, 3, "lost"],
      ["a lost sandbox", 2, { reason: "sandbox_lost", exitCode: null }, 2, "lost"],
      ["a command that never started, for ever", 1, never("command_not_found"), 1, "failed"],
      ["a command that never started, for ever", 3, never("command_not_found"), 3, "failed"],
      ["a command that never started, for now", 1, never("engine_unavailable"), 4, "failed"],
      ["a command that never started, for now", 2, never("engine_unavailable"), 5, "failed"],
      ["a command that never started, unexplained", 1, never(null), 1, "failed"],
      ["a command that never started, in unknown words", 1, never("no_such_code"), 1, "failed"],
    ];
    for (const [what, maxAttempts, outcome, attempts, state] of retries) {
      promise(
        `${what}, of ${maxAttempts} attempts allowed: ${attempts} tries, then ${state}`,
        async (store) => {
          const job = await runOut(store, maxAttempts, attemptOutcome(outcome));
          assert.equal(job.attempts.length, attempts);
          assert.equal(job.result?.attempt, attempts);
          assert.deepEqual([job.state, job.result?.reason], [state, outcome.reason]);
          assert.ok(job.attempts.every(({ reason }) => reason === outcome.reason));
        },
      );
    }

    promise("the time spent waiting is counted over all attempts", async (store) => {
      const { id } = await openSession(store);
      await store.jobs.submit(newJob("j1", { now: 1_000, spec: { maxAttempts: 2 } }));
      const first = await claimOne(store, id);
      await store.leases.accept(first.lease, 1_100);
      await store.leases.finish(first.lease, attemptOutcome({ reason: "sandbox_lost" }), 5_000);
      const second = await claimOne(store, id);
      await store.leases.accept(second.lease, 5_030);
      const { job } = await store.leases.finish(second.lease, attemptOutcome(), 6_000);
      assert.equal(job?.result?.timings.queuedMs, 130);
    });

    promise("the part of the log that never came is named in the result", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const part = logPart(["stdout", "half"]);
      await store.log.append(lease, { from: 0, ...part });
      const logEnd = part.bytes.length + 100;
      const { job } = await store.leases.finish(lease, attemptOutcome({ logEnd }), 9);
      assert.deepEqual(job?.result?.output.missing, { from: part.bytes.length, to: logEnd });
    });

    promise("a worker's impossible clock does no harm", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      assert.equal(await store.leases.started(lease, 1e300), "recorded");
      const { job } = await store.leases.finish(lease, attemptOutcome(), 9);
      assert.equal(job?.state, "succeeded");
    });
  });

  describe(`store (${engine.name}): cancelling`, () => {
    promise(
      "a job nobody holds ends at once; a late acceptance of its offer is superseded",
      async (store) => {
        const { id } = await openSession(store);
        await store.jobs.submit(newJob("j1", { now: 1_000 }));
        await store.jobs.submit(newJob("j2"));
        const { lease } = await claimOne(store, id);
        const offered = await store.jobs.cancel("j1", 1_400);
        const queued = await store.jobs.cancel("j2", 1_400);
        assert.deepEqual([offered?.ended, offered?.lease], [true, null]);
        assert.deepEqual([queued?.ended, queued?.job.state], [true, "cancelled"]);
        assert.deepEqual(
          [offered?.job.result?.reason, offered?.job.result?.attempt, offered?.job.result?.timings.queuedMs],
          ["cancelled", 0, 400],
        );
        assert.deepEqual(jobResultSchema.parse(offered?.job.result), offered?.job.result);
        await assertSuperseded(store, lease);
        assert.deepEqual(await store.leases.pools(), []);
      },
    );

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
        { jobId: "j2", requeued: true },
      ]);
      assert.deepEqual(await store.leases.expire(20_000), []);
      assert.equal(await store.leases.renew(id, 30_000), null);
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

  describe(`store (${engine.name}): logs`, () => {
    promise("what is below the durable end is skipped, a gap is refused", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const one = logPart(["stdout", "one"]);
      const two = logPart(["stderr", "two!"], ["stdout", "x"]);
      const both = {
        bytes: Buffer.concat([one.bytes, two.bytes]),
        stdout: one.stdout + two.stdout,
        stderr: one.stderr + two.stderr,
      };
      const end = both.bytes.length;
      assert.equal(await store.log.append(lease, { from: 0, ...one }), one.bytes.length);
      assert.equal(await store.log.append(lease, { from: 0, ...one }), one.bytes.length);
      await assert.rejects(store.log.append(lease, { from: one.bytes.length + 1, ...two }), {
        code: "protocol_violation",
      });
      assert.equal(await store.log.append(lease, { from: 0, ...both }), end);
      assert.equal(await store.log.append(lease, { from: 0, ...both }), end);
      assert.deepEqual(await store.log.end("j1", 1), { logEnd: end, stdout: 4, stderr: 4 });
      const chunks = await store.log.read("j1", 1, 0, 2 ** 20);
      assert.ok(Buffer.concat(chunks.map(({ bytes }) => bytes)).equals(both.bytes));
      assert.equal((await store.jobs.get("j1"))?.attempts[0]?.logEnd, end);
    });

    promise("the writer's bytes stay its own, also as a part of a larger buffer", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const { bytes, ...counts } = logPart(["stdout", "abc"]);
      const large = Buffer.concat([Buffer.alloc(1_000, 1), bytes, Buffer.alloc(1_000, 2)]);
      const part = large.subarray(1_000, 1_000 + bytes.length);
      await store.log.append(lease, { from: 0, bytes: part, ...counts });
      assert.deepEqual(part, bytes);
      const [chunk] = await store.log.read("j1", 1, 0, 10);
      assert.deepEqual(Buffer.from(chunk?.bytes ?? []), bytes);
    });

    promise("a log is read in whole chunks from the one that holds the place", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const part = logPart(["stdout", "0123456789"]);
      const size = part.bytes.length;
      for (let i = 0; i < 10; i++) await store.log.append(lease, { from: i * size, ...part });
      const ranges = async (from: number, max: number): Promise<number[][]> =>
        (await store.log.read("j1", 1, from, max)).map((chunk) => [chunk.from, chunk.to, chunk.stdoutBefore]);
      assert.deepEqual(await ranges(0, 1), [[0, size, 0]]);
      assert.deepEqual(await ranges(size * 3 + 5, size + 1), [
        [size * 3, size * 4, 30],
        [size * 4, size * 5, 40],
      ]);
      assert.deepEqual((await ranges(size * 9, 2 ** 20)).length, 1);
      assert.deepEqual(await ranges(size * 10, 2 ** 20), []);
      assert.deepEqual(await store.log.read("j1", 2, 0, 10), []);
      assert.deepEqual(await store.log.end("j1", 2), { logEnd: 0, stdout: 0, stderr: 0 });
    });

    promise("every byte of each stream is found in the chunk that holds it", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const parts = [
        logPart(["event", '{"event":"started"}']),
        logPart(["stdout", "abc"]),
        logPart(["stderr", "E"]),
        logPart(["stdout", "d"], ["stderr", "FG"], ["stdout", "ef"]),
        logPart(["event", '{"event":"x"}']),
        logPart(["stderr", "H"]),
      ];
      const homes: Record<"stdout" | "stderr", number[]> = { stdout: [], stderr: [] };
      let from = 0;
      for (const part of parts) {
        for (const stream of ["stdout", "stderr"] as const) {
          for (let i = 0; i < part[stream]; i++) homes[stream].push(from);
        }
        from = Number(await store.log.append(lease, { from, ...part }));
      }
      for (const stream of ["stdout", "stderr"] as const) {
        const found = await Promise.all(
          homes[stream].map(async (_, offset) => (await store.log.locate("j1", 1, stream, offset))?.from),
        );
        assert.deepEqual(found, homes[stream]);
        assert.equal(await store.log.locate("j1", 1, stream, homes[stream].length), null);
      }
      assert.equal(await store.log.locate("j1", 2, "stdout", 0), null);
    });

    promise("each attempt has a log of its own", async (store) => {
      const { id } = await openSession(store);
      const first = await leaseOne(store, id, newJob("j1", { spec: { maxAttempts: 2 } }));
      await store.log.append(first.lease, { from: 0, ...logPart(["stdout", "first"]) });
      await store.leases.finish(first.lease, attemptOutcome({ reason: "sandbox_lost" }), 3);
      const second = await claimOne(store, id);
      await store.leases.accept(second.lease, 4);
      assert.equal(
        await store.log.append(first.lease, { from: 0, ...logPart(["stdout", "late"]) }),
        "superseded",
      );
      await store.log.append(second.lease, { from: 0, ...logPart(["stdout", "2nd"]) });
      assert.equal((await store.log.end("j1", 1)).stdout, 5);
      assert.equal((await store.log.end("j1", 2)).stdout, 3);
    });

    promise(
      "artifacts are seen once complete, byte by byte, and only those of the latest attempt",
      async (store) => {
        const { id } = await openSession(store);
        const { lease } = await leaseOne(store, id, newJob("j1", { spec: { maxAttempts: 2 } }));
        const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
        const path = "out/a.bin";
        const put = (offset: number, to: number, complete = false) =>
          store.log.putArtifact(lease, { path, offset, bytes: bytes.subarray(offset, to), complete });
        await put(0, 50);
        assert.equal(await put(0, 100_000), "recorded", "from the start again");
        await put(100_000, 200_000);
        await put(100_000, 200_000);
        await assert.rejects(put(250_000, 300_000), { code: "protocol_violation" });
        assert.deepEqual(await store.log.artifacts("j1"), []);
        assert.equal(await store.jobs.artifact("j1", path), null);
        await put(200_000, 300_000, true);
        assert.equal(await put(0, 10), "recorded", "what is complete stays as it is");
        await store.log.putArtifact(lease, {
          path: "empty",
          offset: 0,
          bytes: new Uint8Array(),
          complete: true,
        });
        assert.deepEqual(await store.log.artifacts("j1"), [
          { path: "empty", size: 0 },
          { path, size: 300_000 },
        ]);
        const found = await store.jobs.artifact("j1", path);
        assert.equal(found?.size, 300_000);
        for (const [from, to] of [
          [0, 300_000],
          [99_999, 100_001],
          [5, 5],
          [299_999, 400_000],
        ] as const) {
          assert.ok(
            Buffer.from((await found?.read(from, to)) ?? []).equals(bytes.subarray(from, to)),
            `${from}-${to}`,
          );
        }
        assert.equal((await (await store.jobs.artifact("j1", "empty"))?.read(0, 1))?.length, 0);
        await store.leases.finish(lease, attemptOutcome({ reason: "sandbox_lost" }), 3);
        const second = await claimOne(store, id);
        await store.leases.accept(second.lease, 4);
        assert.deepEqual(await store.log.artifacts("j1"), []);
        assert.equal(await put(0, 10), "superseded");
      },
    );
  });

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
      assert.equal(await store.jobs.inputs("j0"), null);
      assert.equal(await store.jobs.artifact("j0", "a"), null);
      assert.equal((await store.jobs.submit(newJob("j9", { idempotencyKey: "k0" }))).created, true);
      assert.equal((await store.log.end("j2", 1)).stdout, 200_000);
      assert.equal(Buffer.from((await store.jobs.inputs("j2")) ?? []).length, 99);
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

async function assertSuperseded(store: Store, lease: Claim["lease"]): Promise<void> {
  const part = { path: "a", offset: 0, bytes: new Uint8Array(1), complete: true };
  assert.equal(await store.leases.accept(lease, 1), "superseded");
  assert.equal(await store.leases.started(lease, 1), "superseded");
  assert.equal(await store.log.append(lease, { from: 0, ...logPart(["stdout", "zz"]) }), "superseded");
  assert.equal(await store.log.putArtifact(lease, part), "superseded");
  assert.deepEqual(await store.leases.finish(lease, attemptOutcome(), 1), {
    fenced: "superseded",
    requeued: false,
    job: null,
  });
  assert.equal(await store.leases.release(lease), "superseded");
}
