/** `npm run bench`: every budget of the design beside what it is measured against, in one run. */
import { writeFile } from "node:fs/promises";
import { availableParallelism, constants, loadavg, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { cold } from "./cold.ts";
import { durable } from "./durable.ts";
import { fanout } from "./fanout.ts";
import { guest } from "./guest.ts";
import { postgres } from "./postgres.ts";
import { print, type Bench, type Figure } from "./report.ts";
import { scale } from "./scale.ts";
import { stream } from "./stream.ts";
import { sustained } from "./sustained.ts";
import { tunnel } from "./tunnel.ts";
import { trace } from "./trace/trace.ts";
import { warm } from "./warm.ts";

/** In the order they run. A further one is a file that exports a `Bench`, and its place in this list. */
const benches: readonly Bench[] = [
  warm,
  cold,
  sustained,
  stream,
  fanout,
  guest,
  durable,
  postgres,
  tunnel,
  scale,
];

const usage = `usage: npm run bench [-- [--only NAME]… [--json FILE] | --trace]
  --only NAME   measure this one only: ${benches.map(({ name }) => name).join(", ")}
  --json FILE   write every figure with what it was made from
  --trace       print where the time of a warm job goes, stage by stage`;

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    json: { type: "string" },
    trace: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const unknown = flags.only.filter((name) => !benches.some((bench) => bench.name === name));
if (flags.help || unknown.length > 0) {
  console.error(usage);
  process.exit(unknown.length > 0 ? 2 : 0);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // the same signal may come twice, from the terminal and from the launcher; the second must not cut short what the first does
  process.on(signal, () => process.exit(128 + constants.signals[signal]));
}
if (flags.trace) await trace();
else await measure(benches.filter(({ name }) => flags.only.length === 0 || flags.only.includes(name)));

async function measure(chosen: readonly Bench[]): Promise<void> {
  const host = {
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    node: process.version,
    load: loadavg(),
  };
  const figures: Figure[] = [];
  for (const bench of chosen) {
    console.error(`measuring ${bench.name} …`);
    const measured = await bench.run();
    print(measured);
    figures.push(...measured);
  }
  const missed = figures.filter(({ held }) => !held);
  const gibibytes = Math.round(host.memoryBytes / 2 ** 30);
  console.log(
    `\n${figures.length - missed.length} of ${figures.length} held, on ${host.processors} processors, ${gibibytes} GiB, Node ${host.node}; load ${host.load[0]?.toFixed(1)} before, ${loadavg()[0]?.toFixed(1)} after`,
  );
  if (flags.json !== undefined) await writeFile(flags.json, JSON.stringify({ host, figures }, null, 2));
  process.exitCode = missed.length === 0 ? 0 : 1;
}
