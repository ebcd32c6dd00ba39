/** The guest binary, from the host's C compiler, or from one in a build image where there is none. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { SetupFailure } from "./failure.mjs";
import { findProgram } from "./find-program.mjs";
import { guestBinary, imagesDir } from "./paths.mjs";
import { runProgram } from "./run-program.mjs";
import { pack, unpackOne } from "./tar.mjs";

const sourceDir = join(imagesDir, "guest");
const buildTag = "sallyport/guest-build:latest";
const stamp = join(sourceDir, "build", "guest.inputs");
/** Where `Dockerfile.build` leaves the binary */
const pathInImage = "/out/guest";

/**
 * @param {{ base: () => Promise<{ client: import("./engine-client.mjs").EngineClient, reference: string }>,
 *   signal: AbortSignal }} options `base` is asked only when the host cannot compile
 * @param {(what: string) => void} started
 */
export async function ensureGuest({ base, signal }, started) {
  const hostError = await makeOnHost(signal);
  if (hostError !== undefined && !builtFromTheseSources()) {
    started(`building in a container (${hostError.message})`);
    await makeInContainer(await base(), signal).catch((error) => {
      throw new SetupFailure(`the guest cannot be built: ${error.message}`, {
        output: [hostError.output, error.output].filter(Boolean).join("\n---\n"),
        fix: "install a C compiler, make and the static C library (Debian: `apt-get install gcc make libc6-dev`)",
      });
    });
  }
  return `${relative(dirname(imagesDir), guestBinary)}, ${Math.round(statSync(guestBinary).size / 1024)} KiB`;
}

/** Resolves with why the host cannot, or with undefined. */
async function makeOnHost(signal) {
  if (process.platform !== "linux" || !findProgram("make") || !findProgram("cc", "gcc", "clang")) {
    return new SetupFailure("no C compiler and make on this host");
  }
  try {
    await runProgram(["make", "-s", "-C", sourceDir], { signal });
    if (existsSync(guestBinary)) return undefined;
    return new SetupFailure("make did not produce build/guest");
  } catch (error) {
    signal.throwIfAborted();
    return error;
  }
}

async function makeInContainer({ client, reference }, signal) {
  const entries = sources().map((path) => ({
    name: relative(sourceDir, path),
    path,
    mode: statSync(path).mode & 0o777,
  }));
  await client.build(
    {
      tag: buildTag,
      context: pack(entries),
      dockerfile: "Dockerfile.build",
      args: { BASE_IMAGE: reference },
      labels: {},
    },
    signal,
  );
  const binary = unpackOne(await client.readFromImage(buildTag, pathInImage, signal));
  mkdirSync(dirname(guestBinary), { recursive: true });
  writeFileSync(guestBinary, binary);
  chmodSync(guestBinary, 0o755);
  writeFileSync(stamp, sourcesDigest());
}

function builtFromTheseSources() {
  return existsSync(guestBinary) && existsSync(stamp) && readFileSync(stamp, "utf8") === sourcesDigest();
}

function sourcesDigest() {
  const hash = createHash("sha256");
  for (const path of sources()) hash.update(`${relative(sourceDir, path)}\0`).update(readFileSync(path));
  return hash.digest("hex");
}

function sources() {
  return readdirSync(sourceDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => !relative(sourceDir, path).startsWith("build"))
    .sort();
}
