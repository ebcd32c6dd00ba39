/** A short run of what `npm run chaos` does for as long as you like. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runChaos } from "./run.ts";
import { summarize, summaryText } from "./report.ts";

const drawn = Math.floor(Math.random() * 2 ** 31);

for (const seed of [20_261, drawn]) {
  test(`every invariant holds through jobs and faults of seed ${seed}`, async (t) => {
    const { history, violations } = await runChaos({
      seed,
      runMs: 6_000,
      hubs: 1,
      workers: 2,
      slots: 6,
      store: "sqlite",
      driver: "witness",
      jobsPerSecond: 6,
      faultsPerSecond: 1.5,
      quietMs: 60_000,
    });
    const summary = summarize(history, violations);
    t.diagnostic(summaryText({ ...summary, violations: [] }));
    assert.ok(summary.jobs > 10, "jobs were run");
    assert.equal(violations.length, 0, summaryText(summary));
  });
}
