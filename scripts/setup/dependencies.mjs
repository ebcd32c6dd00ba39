/** npm packages as the lock file names them, Node ≥ 24.12 among them, and the `sallyport` command for `npx`. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { SetupFailure } from "./failure.mjs";
import { binDir, lockFile, modulesDir, nodeBinary, nodePackage, root, stampFile } from "./paths.mjs";
import { runProgram } from "./run-program.mjs";

const leastNode = [24, 12];

/** @param {{ signal: AbortSignal }} options */
export async function ensureDependencies({ signal }, started) {
  if (!installed()) {
    started("npm ci");
    await runProgram(["npm", "ci", "--loglevel=error", "--no-audit", "--no-fund"], { signal, cwd: root });
  }
  finishInstall();
  return `Node ${nodeVersion()} and the packages of package-lock.json`;
}

/** What has to follow every install; npm runs it as the `prepare` script, so a bare `npm ci` is enough for `npx sallyport`. */
export function finishInstall() {
  linkCommand();
  writeFileSync(stampFile, lockDigest());
}

/** The version of the `node` dev dependency; throws where it is missing or too old. */
export function nodeVersion() {
  const { version } = JSON.parse(readFileSync(join(nodePackage, "package.json"), "utf8"));
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (!existsSync(nodeBinary) || major < leastNode[0] || (major === leastNode[0] && minor < leastNode[1])) {
    throw new SetupFailure(
      `Node ≥ ${leastNode.join(".")} is missing at node_modules/.bin/node (package: ${version})`,
      {
        fix: "remove node_modules and run this again; npm must be allowed to run the install script of the `node` package",
      },
    );
  }
  return version;
}

function installed() {
  return existsSync(nodeBinary) && existsSync(stampFile) && readFileSync(stampFile, "utf8") === lockDigest();
}

function lockDigest() {
  return createHash("sha256").update(readFileSync(lockFile)).digest("hex");
}

/**
 * `npx sallyport` finds the link. A `bin` in package.json would win over it, and make npx install this checkout into its
 * cache first, with a warning about the Node that npm runs on.
 */
function linkCommand() {
  if (!existsSync(modulesDir)) return;
  const link = join(binDir, "sallyport");
  const target = join("..", "..", "src", "main.ts");
  if (readLink(link) !== target) {
    rmSync(link, { force: true });
    symlinkSync(target, link);
  }
  const main = join(root, "src", "main.ts");
  if (existsSync(main)) chmodSync(main, 0o755);
}

function readLink(path) {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
