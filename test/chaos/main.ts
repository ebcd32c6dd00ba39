/** `npm run chaos`: jobs, faults, and what the history says of them. */
import { parseArgs } from "node:util";
import type { DriverName, StoreName } from "./cluster.ts";
import { faultNames, type FaultName } from "./plan.ts";
import { runWeakened, weakenings } from "./weakened.ts";
import { runChaos } from "./run.ts";
import { summarize, summaryText } from "./report.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    store: { type: "string", default: "sqlite" },
    driver: { type: "string", default: "witness" },
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
    help: { type: "boolean", default: false },
  },
});

const usage = `npm run chaos -- [flags]

  --minutes N              how long jobs and faults come (1)
  --seed S                 the same seed gives the same jobs and faults (drawn)
  --store sqlite|postgres  where hubs keep everything (sqlite)
  --driver witness|docker  what runs the jobs: a fake, or an engine of the run's own (witness)
  --hubs N --workers N     how many (1, or 2 on postgres; 3)
  --jobs-per-second R      (5)      --faults-per-second R  (0.5)
  --faults A,B             only these: ${faultNames.join(", ")}
  --least-fault-ms MS      no fault that lasts is shorter (0)
  --long-share P           so many jobs are long (0.15), up to --long-ms MS (5000)
  --quiet-seconds S        everything must be over so long after the last fault (60)
  --weakened [--only I1,I3]  instead: builds with one guard taken out each, which must be found out
  --json                   the summary as JSON

  npm run chaos -- --minutes 20
  npm run chaos -- --minutes 20 --store postgres
  npm run chaos -- --driver docker --jobs-per-second 1.5 --faults engine-kill,engine-freeze,worker-kill

Ends with 1 where an invariant was broken. Ctrl-C ends the run before its time; it is still checked.`;
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
console.error(`seed ${seed}`);
const stopped = new AbortController();
process.once("SIGINT", () => stopped.abort(new Error("interrupted")));
process.once("SIGTERM", () => stopped.abort(new Error("terminated")));
if (values.weakened) process.exit(await runAllWeakened());
const store = storeNamed(values.store);
const driver = driverNamed(values.driver);
const { history, violations } = await runChaos({
  seed,
  store,
  driver,
  runMs: Number(values.minutes) * 60_000,
  hubs: Number(values.hubs ?? (store === "sqlite" ? 1 : 2)),
  workers: Number(values.workers),
  slots: 8,
  jobsPerSecond: Number(values["jobs-per-second"]),
  faultsPerSecond: Number(values["faults-per-second"]),
  ...(values.faults !== undefined && { faults: values.faults.split(",").map(faultNamed) }),
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

function driverNamed(name: string): DriverName {
  if (name !== "witness" && name !== "docker") throw new Error(`no driver ${name}: witness, docker`);
  return name;
}

function faultNamed(name: string): FaultName {
  const known = faultNames.find((fault) => fault === name);
  if (known === undefined) throw new Error(`no fault ${name}: ${faultNames.join(", ")}`);
  return known;
}
