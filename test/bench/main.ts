/** `npm run bench [-- --json] [-- SECTION…]`: every budget beside what it is measured against, in one run. */
import { availableParallelism, totalmem } from "node:os";
import { cold } from "./cold.ts";
import { durable } from "./durable.ts";
import { print, type Figure } from "./report.ts";
import { stream } from "./stream.ts";
import { warm } from "./warm.ts";

const sections: Record<string, () => Promise<Figure[]>> = { cold, warm, durable, stream };

const args = process.argv.slice(2);
if (args.includes("--trace")) {
  const { trace } = await import("./trace/trace.ts");
  await trace();
  process.exit(0);
}
const json = args.includes("--json");
const named = args.filter((arg) => !arg.startsWith("--"));
const unknown = named.filter((name) => sections[name] === undefined);
if (args.includes("--help") || unknown.length > 0) {
  console.error(
    `usage: npm run bench [-- --json] [-- SECTION…]\nsections: ${Object.keys(sections).join(", ")}`,
  );
  process.exit(unknown.length > 0 ? 2 : 0);
}

console.error(
  `${availableParallelism()} processors, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
);
const figures: Figure[] = [];
for (const [name, run] of Object.entries(sections)) {
  if (named.length > 0 && !named.includes(name)) continue;
  console.error(`measuring ${name} …`);
  figures.push(...(await run()));
}
print(figures, json);
process.exitCode = figures.every((figure) => figure.held) ? 0 : 1;
