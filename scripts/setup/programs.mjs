/** The C programs that go into every sandbox, from the host's compiler, or from one in a build image where there is none. */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { SetupFailure } from "./failure.mjs";
import { findProgram } from "./find-program.mjs";
import { imagesDir } from "./paths.mjs";
import { runProgram } from "./run-program.mjs";
import { pack, unpackOne } from "./tar.mjs";

/** Folders with a Makefile whose first target leaves a program of the folder's name in `buildDir` */
const programs = ["guest", "probe"];
const buildDir = join(imagesDir, "guest", "build");
const stamp = join(buildDir, "inputs");
const dockerfile = "compile.Dockerfile";
const buildTag = "sallyport/compile:latest";

/**
 * @param {{ base: () => Promise<{ client: import("./engine-client.mjs").EngineClient, reference: string }>,
 *   signal: AbortSignal }} options `base` is asked only when the host cannot compile
 * @param {(what: string) => void} started
 */
export async function ensurePrograms({ base, signal }, started) {
  const hostError = await makeOnHost(signal);
  if (hostError !== undefined && !(allBuilt() && readOr(stamp) === inputsDigest())) {
    started(`building in a container: ${hostError.message}`);
    await makeInContainer(await base(), signal).catch((error) => {
      signal.throwIfAborted();
      throw new SetupFailure(`they cannot be built: ${error.message}`, {
        output: [hostError.output, error.output].filter(Boolean).join("\n---\n"),
        fix: "install a C compiler, make and the static C library (Debian: `apt-get install gcc make libc6-dev`)",
      });
    });
  }
  return programs
    .map((name) => `${name}, ${Math.round(statSync(join(buildDir, name)).size / 1024)} KiB`)
    .join("; ");
}

/** Resolves with why the host cannot, or with undefined. */
async function makeOnHost(signal) {
  if (process.platform !== "linux" || !findProgram("make") || !findProgram("gcc", "cc")) {
    return new SetupFailure("no C compiler and make on this host");
  }
  try {
    const compiler = findProgram("gcc") === undefined ? ["CC=cc"] : [];
    for (const name of programs)
      await runProgram(["make", "-s", "-C", join(imagesDir, name), ...compiler], { signal });
    return allBuilt() ? undefined : new SetupFailure(`make left no program in ${buildDir}`);
  } catch (error) {
    signal.throwIfAborted();
    return error;
  }
}

async function makeInContainer({ client, reference }, signal) {
  const entries = inputs().map((path) => ({
    name: relative(imagesDir, path),
    path,
    mode: statSync(path).mode & 0o777,
  }));
  const args = { BASE_IMAGE: reference };
  await client.build({ tag: buildTag, context: pack(entries), dockerfile, args, labels: {} }, signal);
  mkdirSync(buildDir, { recursive: true });
  for (const name of programs) {
    const binary = unpackOne(await client.readFromImage(buildTag, `/src/guest/build/${name}`, signal));
    // A worker may be reading the one before.
    writeFileSync(join(buildDir, `${name}.tmp`), binary, { mode: 0o755 });
    renameSync(join(buildDir, `${name}.tmp`), join(buildDir, name));
  }
  writeFileSync(stamp, inputsDigest());
}

const allBuilt = () => programs.every((name) => existsSync(join(buildDir, name)));

function inputsDigest() {
  const hash = createHash("sha256");
  for (const path of inputs()) hash.update(`${relative(imagesDir, path)}\0`).update(readFileSync(path));
  return hash.digest("hex");
}

/** Every file the programs are made from, in a fixed order. */
function inputs() {
  const files = programs.flatMap((name) =>
    readdirSync(join(imagesDir, name), { recursive: true, encoding: "utf8" })
      .map((path) => join(imagesDir, name, path))
      .filter((path) => !path.startsWith(buildDir) && statSync(path).isFile()),
  );
  return [join(imagesDir, dockerfile), ...files].sort((a, b) => (a < b ? -1 : 1));
}

function readOr(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}
