/** `npm run chaos -- [--minutes N] [--seed S] [--hubs N] [--store sqlite|postgres] [--workers N] [--faults A,B] [--weakened [--only A,B]] [--json]`: jobs, faults, and what the history says of them. */
import { parseArgs } from "node:util";
import type { StoreName } from "./cluster.ts";
import { faultNames, ofDatabase, type FaultName } from "./plan.ts";
import { runWeakened, weakenings } from "./weakened.ts";
import { runChaos } from "./run.ts";
import { summarize, summaryText } from "./report.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    store: { type: "string", default: "sqlite" },
    hubs: { type: "string" },
    workers: { type: "string", default: "3" },
    "jobs-per-second": { type: "string", default: "5" },
    "faults-per-second": { type: "string", default: "0.5" },
    faults: { type: "string" },
    "least-fault-ms": { type: "string", default: "0" },
    "long-share": { type: "string", default: "0.15" },
    "long-ms": { type: "string", default: "5000" },
    "quiet-seconds": { type: "string", default: "60" },
    weakened: { type: "boolean", default: false },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
console.error(`seed ${seed}`);
const stopped = new AbortController();
process.once("SIGINT", () => stopped.abort(new Error("interrupted")));
process.once("SIGTERM", () => stopped.abort(new Error("terminated")));
if (values.weakened) process.exit(await runAllWeakened());
const store = storeNamed(values.store);
const { history, violations } = await runChaos({
  seed,
  store,
  runMs: Number(values.minutes) * 60_000,
  hubs: Number(values.hubs ?? (store === "sqlite" ? 1 : 2)),
  workers: Number(values.workers),
  slots: 8,
  jobsPerSecond: Number(values["jobs-per-second"]),
  faultsPerSecond: Number(values["faults-per-second"]),
  faults: values.faults?.split(",").map(faultNamed) ?? faultsOf(store),
  leastFaultMs: Number(values["least-fault-ms"]),
  long: { share: Number(values["long-share"]), ms: Number(values["long-ms"]) },
  quietMs: Number(values["quiet-seconds"]) * 1_000,
  progress: (line) => console.error(line),
  signal: stopped.signal,
});
const summary = summarize(history, violations);
console.log(values.json ? JSON.stringify(summary) : summaryText(summary));
process.exitCode = violations.length === 0 ? 0 : 1;

/** Every weakened build in turn: the exit code says whether each was found out. */
async function runAllWeakened(): Promise<number> {
  let missed = 0;
  const only = values.only?.split(",");
  const chosen = weakenings.filter(({ breaks }) => only?.includes(breaks) ?? true);
  for (const weakening of chosen) {
    const began = performance.now();
    const { found, runs } = await runWeakened(weakening, { seed, seconds: 10, signal: stopped.signal });
    const red = found.includes(weakening.breaks);
    if (!red) missed += 1;
    const verdict = red ? "found" : "MISSED";
    console.log(
      `${verdict.padEnd(7)} ${weakening.breaks}  ${weakening.name} (${runs} runs, ${Math.round((performance.now() - began) / 1_000)} s, ${found.join()})`,
    );
  }
  return missed === 0 ? 0 : 1;
}

function storeNamed(name: string): StoreName {
  if (name !== "sqlite" && name !== "postgres") throw new Error(`no store ${name}: sqlite, postgres`);
  return name;
}

function faultsOf(name: StoreName): FaultName[] {
  return faultNames.filter((fault) => name === "postgres" || !ofDatabase(fault));
}

function faultNamed(name: string): FaultName {
  const known = faultNames.find((fault) => fault === name);
  if (known === undefined) throw new Error(`no fault ${name}: ${faultNames.join(", ")}`);
  return known;
}
