/** What the image of Sallyport itself is made from: the sources as they are, and no package that only development needs. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { nodeVersion } from "./dependencies.mjs";
import { packageClosure } from "./package-closure.mjs";
import { imagesDir, nodePackage, root } from "./paths.mjs";

const folders = ["src", "sandbox-profiles"];
const guestDir = join(imagesDir, "guest", "build");

/** Dependencies and programs must be there. `key` changes with anything that goes in. */
export function productFiles() {
  const manifest = join(root, "package.json");
  const { dependencies } = JSON.parse(readFileSync(manifest, "utf8"));
  const packages = Object.keys(dependencies).map((name) => packageClosure(name));
  const own = [manifest, ...folders.flatMap((name) => filesBelow(join(root, name)))];
  const programs = ["guest", "probe"].map((name) => join(guestDir, name));
  const unique = new Map();
  for (const path of [...own, ...programs]) unique.set(path, inApp(path));
  for (const { name, path } of packages.flatMap(({ files }) => files)) unique.set(path, `app/${name}`);
  const files = [...unique].map(([path, name]) => ({ name, path, mode: statSync(path).mode & 0o777 }));
  files.push({ name: "node", path: join(nodePackage, "bin", "node"), mode: 0o755 });
  return { key: keyOf([...own, ...programs], packages), files };
}

function keyOf(own, packages) {
  const hash = createHash("sha256").update(`${nodeVersion()} ${process.arch}`);
  for (const { key } of packages) hash.update(`\0${key}`);
  for (const path of own) hash.update(`\0${inApp(path)}\0`).update(readFileSync(path));
  return hash.digest("hex");
}

const inApp = (path) => `app/${relative(root, path).split(sep).join("/")}`;

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => (a < b ? -1 : 1));
}
