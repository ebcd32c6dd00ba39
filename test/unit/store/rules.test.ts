import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { endReasons, jobResultSchema, type EndReason } from "../../../src/protocol/index.ts";
import {
  buildResult,
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
      fc.nat(40),
      fc.integer({ min: 1, max: 20 }),
      fc.boolean(),
      (end, attempts, maxAttempts, soon) => {
        const error = { code: soon ? "engine_unavailable" : "command_not_found", message: "" };
        const retried = mayRetry({ attempts, maxAttempts }, { reason: end, error });
        if (isAboutTheProgram(end) || attempts >= maxAttempts + 3) assert.equal(retried, false);
        else if (attempts < maxAttempts) assert.equal(retried, true);
        else assert.equal(retried, end === "never_started" && soon);
      },
    ),
  );
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
