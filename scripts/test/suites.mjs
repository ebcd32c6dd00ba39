/** Which test files there are, and in which order they run: what fails fastest comes first. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { SetupFailure } from "../setup/failure.mjs";
import { root } from "../setup/paths.mjs";

const order = ["unit", "contract", "integration", "docker", "escape", "compose"];
const suffix = ".test.ts";

/**
 * @param {{ suites: string[], paths: string[] }} request empty lists mean everything
 * @returns {{ name: string, files: string[] }[]} files relative to the checkout
 */
export function findSuites({ suites, paths }) {
  const chosen = paths.length === 0 ? testFiles(join(root, "test")) : paths.flatMap(named);
  const bySuite = groupBy(chosen, suiteOf);
  const unknown = suites.find((name) => !bySuite.has(name));
  if (unknown !== undefined) {
    throw new SetupFailure(`there is no test in suite "${unknown}"`, {
      fix: `one of: ${[...bySuite.keys()].join(", ")}`,
    });
  }
  return [...bySuite]
    .map(([name, files]) => ({ name, files }))
    .filter(({ name }) => suites.length === 0 || suites.includes(name))
    .sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name));
}

/** Only unit tests are sure to do without an engine. */
export function needsEngine({ name }) {
  return name !== "unit";
}

function named(path) {
  const absolute = resolve(path);
  if (!existsSync(absolute)) throw new SetupFailure(`there is no test file or folder ${path}`);
  return statSync(absolute).isDirectory() ? testFiles(absolute) : [relative(root, absolute)];
}

function testFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(suffix))
    .map((path) => relative(root, join(folder, path)))
    .sort();
}

/** The folder under `test/`; files directly in it are unit tests. */
function suiteOf(file) {
  const [, folder, ...rest] = file.split(sep);
  return rest.length === 0 || folder === undefined ? "unit" : folder;
}

function rank(name) {
  const at = order.indexOf(name);
  return at === -1 ? order.length : at;
}

function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}
