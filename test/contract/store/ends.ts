/** How attempts end, and which are tried again. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import { terminalState, type AttemptOutcome } from "../../../src/protocol/index.ts";
import type { JobRecord, Store } from "../../../src/store/index.ts";
import { attemptOutcome, claimOne, leaseOne, logPart, newJob, openSession } from "../../helpers/store.ts";
import { type Laws } from "./laws.ts";

export function endsLaws({ engine, promise }: Laws): void {
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
}
