import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { endReasons, jobResultSchema, type EndReason } from "../../../src/protocol/index.ts";
import {
  buildResult,
  cancelledOutcome,
  lostOutcome,
  mayRetry,
  poolOf,
  unheardOutcome,
  wallClock,
  withMissing,
} from "../../../src/store/rules.ts";
import { attemptOutcome, jobSpec } from "../../helpers/store.ts";

const reason = fc.constantFrom(...endReasons);
const isAboutTheProgram = (end: EndReason): boolean =>
  !["worker_lost", "sandbox_lost", "never_started"].includes(end);

test("what a program did is never retried; anything ends within three tries more than allowed", () => {
  fc.assert(
    fc.property(
      reason,
      fc.integer({ min: -5, max: 5 }),
      fc.integer({ min: 1, max: 20 }),
      fc.boolean(),
      (end, beyond, maxAttempts, soon) => {
        const attempts = Math.max(0, maxAttempts + beyond);
        const error = { code: soon ? "engine_unavailable" : "command_not_found", message: "" };
        const retried = mayRetry({ attempts, maxAttempts }, { reason: end, error });
        if (isAboutTheProgram(end) || attempts >= maxAttempts + 3) assert.equal(retried, false);
        else if (attempts < maxAttempts) assert.equal(retried, true);
        else assert.equal(retried, end === "never_started" && soon);
      },
    ),
    { numRuns: 1_000 },
  );
  const spent = { attempts: 1, maxAttempts: 1 };
  assert.equal(mayRetry(spent, { reason: "never_started", error: null }), false, "of unknown cause");
});

test("a result fits what clients are promised, whatever end and whatever clock it is made of", () => {
  fc.assert(
    fc.property(
      reason,
      fc.double({ noNaN: true }),
      fc.double({ noNaN: true }),
      (end, startedAt, finishedAt) => {
        const result = buildResult({
          attempt: 1,
          outcome: attemptOutcome({ reason: end }),
          queuedMs: 0,
          startedAt: wallClock(startedAt),
          finishedAt: wallClock(finishedAt),
        });
        assert.deepEqual(jobResultSchema.parse(result), result);
      },
    ),
  );
  const never = buildResult({
    attempt: 0,
    outcome: unheardOutcome("cancelled"),
    queuedMs: 1,
    startedAt: null,
    finishedAt: 1,
  });
  assert.deepEqual(jobResultSchema.parse(never), never);
  assert.equal(never.startedAt, null);
  const begun = { attempt: 1, outcome: attemptOutcome({}), queuedMs: 0, startedAt: 1_000, finishedAt: 2_000 };
  assert.equal(buildResult(begun).startedAt, "1970-01-01T00:00:01.000Z");
});

test("a job cancelled while it waits keeps what its last attempt printed", () => {
  const { reason: why, output, logEnd } = cancelledOutcome({ logEnd: 50, stdout: 7, stderr: 2 });
  assert.deepEqual(
    [why, output, logEnd],
    ["cancelled", { stdoutBytes: 7, stderrBytes: 2, truncated: false }, 50],
  );
  assert.deepEqual(cancelledOutcome(undefined), unheardOutcome("cancelled"));
});

test("jobs wait together exactly when profile and labels are the same, in whatever order these are written", () => {
  const label = fc.tuple(fc.constantFrom("a", "b", "c", '"'), fc.constantFrom("1", "2", "}"));
  const spec = fc
    .tuple(fc.constantFrom("python", "node"), fc.array(label))
    .map(([profile, labels]) => jobSpec({ profile, labels: Object.fromEntries(labels) }));
  fc.assert(
    fc.property(spec, spec, (one, other) => {
      const same = one.profile === other.profile && sorted(one.labels) === sorted(other.labels);
      assert.equal(poolOf(one).pool === poolOf(other).pool, same);
      assert.deepEqual(JSON.parse(poolOf(one).labels), one.labels);
    }),
  );
});

test("a lost attempt tells what is known of it", () => {
  const durable = { leasedAt: 100, startedAt: 130, logEnd: 50, stdout: 7, stderr: 2 };
  const outcome = lostOutcome(durable, 230, "the worker left");
  assert.deepEqual(outcome.timings, { startMs: 30, runMs: 100, warm: false });
  assert.deepEqual(outcome.output, { stdoutBytes: 7, stderrBytes: 2, truncated: false });
  assert.equal(outcome.error?.message, "the worker left");
  assert.equal(lostOutcome({ ...durable, startedAt: null }, 230, "").timings.runMs, 0);
});

test("a gap the worker named itself is left as it named it", () => {
  const named = attemptOutcome({ logEnd: 90, missing: { from: 1, to: 2 } });
  assert.equal(withMissing(named, 10), named);
  assert.deepEqual(withMissing({ ...named, missing: null }, 10).missing, { from: 10, to: 90 });
  assert.equal(withMissing({ ...named, missing: null }, 90).missing, null);
});

function sorted(labels: Record<string, string>): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}
