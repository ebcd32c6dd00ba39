/** Adds up the suites, each run by a Node process of its own. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const reporter = fileURLToPath(new URL("tally-reporter.mjs", import.meta.url));
const counted = ["tests", "suites", "passed", "failed", "cancelled", "skipped", "todo"];

export class Tally {
  #scratch;
  #suites = [];
  #begun = 0;

  /** @param {{ path(name: string): string }} scratch where the runs leave their counts */
  constructor(scratch) {
    this.#scratch = scratch;
  }

  /** One run of Node's test runner: options that make it print as usual and leave its counts for `add`. */
  begin() {
    const file = this.#scratch.path(`${this.#begun++}.json`);
    const options = [
      "--test",
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      `--test-reporter=${reporter}`,
      `--test-reporter-destination=${file}`,
    ];
    return { options, counts: () => (existsSync(file) ? readCounts(file) : undefined) };
  }

  /** Takes in the runs of one suite; a run that left no counts has failed. */
  add(name, runs) {
    const ended = runs.map(({ run, code }) => ({ code, counts: run.counts() }));
    const ok = ended.every(({ code, counts }) => code === 0 && counts !== undefined);
    this.#suites.push({ name, ok, counts: together(ended.map(({ counts }) => counts ?? {})) });
  }

  get failed() {
    return this.#suites.length === 0 || this.#suites.some((suite) => !suite.ok);
  }

  /** A line for each suite, then the totals in the form of Node's own summary. */
  report() {
    const sum = (key) => this.#suites.reduce((total, { counts }) => total + (counts[key] ?? 0), 0);
    const suites = this.#suites.map(({ name, ok, counts }) => {
      const skipped = counts.skipped ? `, ${counts.skipped} skipped` : "";
      const tests = `${counts.passed ?? 0} of ${counts.tests ?? 0} passed${skipped}`;
      return `${ok ? "✓" : "✗"} ${name.padEnd(14)} ${tests} (${((counts.durationMs ?? 0) / 1_000).toFixed(1)} s)`;
    });
    const names = { passed: "pass", failed: "fail" };
    const totals = counted.map((key) => `ℹ ${names[key] ?? key} ${sum(key)}`);
    return [...suites, "", ...totals, `ℹ duration_ms ${sum("durationMs").toFixed(0)}`].join("\n");
  }
}

/** Runs at the same time take as long as the longest. */
function together(runs) {
  const sum = (key) => runs.reduce((total, counts) => total + (counts[key] ?? 0), 0);
  const durationMs = Math.max(...runs.map((counts) => counts.durationMs ?? 0));
  return { ...Object.fromEntries(counted.map((key) => [key, sum(key)])), durationMs };
}

function readCounts(file) {
  const line = readFileSync(file, "utf8").trim();
  return line === "" ? undefined : JSON.parse(line);
}
