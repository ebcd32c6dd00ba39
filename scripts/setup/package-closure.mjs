/** A package of this checkout with everything it needs at run time, as files to put into an image. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { modulesDir, root } from "./paths.mjs";

/**
 * @param {string} name
 * @returns {{ key: string, files: { name: string, path: string }[] }} names below `node_modules/`; `key` changes with any version
 */
export function packageClosure(name) {
  /** @type {Map<string, string>} */
  const folders = new Map();
  visit(name, root, folders);
  const paths = [...folders.keys()].sort();
  const key = paths.map((path) => `${relative(modulesDir, path)}@${folders.get(path)}`).join(" ");
  const files = paths.flatMap((folder) =>
    regularFiles(folder).map((path) => ({
      name: `node_modules/${relative(modulesDir, path).split(sep).join("/")}`,
      path,
    })),
  );
  return { key, files };
}

/** @param {Map<string, string>} folders folder → version, of every package found so far */
function visit(name, from, folders) {
  const folder = locate(name, from);
  if (folder === undefined || folders.has(folder)) return;
  const { version, dependencies = {} } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  folders.set(folder, version);
  for (const needed of Object.keys(dependencies)) visit(needed, folder, folders);
}

/** As Node looks a package up: https://nodejs.org/api/modules.html#loading-from-node_modules-folders */
function locate(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", name);
    if (existsSync(join(candidate, "package.json"))) return candidate;
    if (folder === root || folder === dirname(folder)) return undefined;
  }
}

/** The files of one package, without those of packages below it and without source maps and type declarations. */
function regularFiles(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.name !== "node_modules" && !/\.(map|d\.[cm]?ts)$/.test(entry.name))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return regularFiles(path);
      return entry.isFile() ? [path] : [];
    })
    .sort();
}
