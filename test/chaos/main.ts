/** `npm run chaos -- [--minutes N] [--seed S] [--hubs N] [--workers N] [--json]`: jobs, faults, and what the history says of them. */
import { parseArgs } from "node:util";
import { runChaos } from "./run.ts";
import { summarize, summaryText } from "./report.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    hubs: { type: "string", default: "1" },
    workers: { type: "string", default: "3" },
    "jobs-per-second": { type: "string", default: "5" },
    "faults-per-second": { type: "string", default: "0.5" },
    json: { type: "boolean", default: false },
  },
});

const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
console.error(`seed ${seed}`);
const stopped = new AbortController();
process.once("SIGINT", () => stopped.abort(new Error("interrupted")));
process.once("SIGTERM", () => stopped.abort(new Error("terminated")));
const { history, violations } = await runChaos({
  seed,
  runMs: Number(values.minutes) * 60_000,
  hubs: Number(values.hubs),
  workers: Number(values.workers),
  slots: 8,
  jobsPerSecond: Number(values["jobs-per-second"]),
  faultsPerSecond: Number(values["faults-per-second"]),
  quietMs: 60_000,
  progress: (line) => console.error(line),
  signal: stopped.signal,
});
const summary = summarize(history, violations);
console.log(values.json ? JSON.stringify(summary) : summaryText(summary));
process.exitCode = violations.length === 0 ? 0 : 1;
