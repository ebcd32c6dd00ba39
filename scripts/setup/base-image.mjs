/** The Debian image that all others start from: as it is there, from a registry, or made from Debian's packages. */
import { mkdtempSync, openSync, closeSync, createReadStream, existsSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canInstall, install } from "./apt.mjs";
import { SetupFailure } from "./failure.mjs";
import { findProgram } from "./find-program.mjs";
import { runProgram } from "./run-program.mjs";

const suite = "bookworm";
const published = { name: "debian", tag: `${suite}-slim` };
const own = { name: "sallyport/debian", tag: suite };
const pullTimeoutMs = 60_000;
const mergedUsrHooks = "/usr/share/mmdebstrap/hooks/merged-usr";
/** What Debian's own slim image leaves out too */
const leftOut = [
  "/usr/share/man/*",
  "/usr/share/locale/*",
  "/usr/share/doc/*",
  "/usr/share/info/*",
  "/usr/share/lintian/*",
];

/**
 * @param {{ client: import("./engine-client.mjs").EngineClient, signal: AbortSignal }} options
 * @param {(what: string) => void} started
 * @returns {Promise<{ reference: string, id: string, summary: string }>}
 */
export async function ensureBase({ client, signal }, started) {
  const there = (await find(client, published, signal)) ?? (await find(client, own, signal));
  if (there !== undefined) return there;
  started(`pulling ${referenceOf(published)}`);
  const refused = await tryPull(client, signal);
  if (refused === undefined) return found(client, published, signal);
  await makeFromPackages({ client, signal, refused }, started);
  return found(client, own, signal);
}

const referenceOf = ({ name, tag }) => `${name}:${tag}`;

async function find(client, image, signal) {
  const reference = referenceOf(image);
  const details = await client.image(reference, signal);
  return details === undefined ? undefined : { reference, id: details.Id, summary: reference };
}

async function found(client, image, signal) {
  const there = await find(client, image, signal);
  if (there === undefined)
    throw new SetupFailure(`the engine took ${referenceOf(image)} but does not list it`);
  return there;
}

/** Resolves with why there is no image, or with undefined. */
async function tryPull(client, signal) {
  try {
    await client.pull(
      published.name,
      published.tag,
      AbortSignal.any([signal, AbortSignal.timeout(pullTimeoutMs)]),
    );
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return error.message;
  }
}

async function makeFromPackages({ client, signal, refused }, started) {
  const fix = `load ${referenceOf(published)} into the engine by hand, or let it reach a registry`;
  if (findProgram("mmdebstrap") === undefined) {
    if (!canInstall())
      throw new SetupFailure(`no registry answers (${refused}) and mmdebstrap is not here`, { fix });
    started("no registry answers; installing mmdebstrap with apt");
    await install(["mmdebstrap", "debian-archive-keyring"], signal);
  }
  started(`no registry answers; making ${referenceOf(own)} from Debian's packages`);
  const folder = mkdtempSync(join(tmpdir(), "sallyport-base-"));
  try {
    const tar = join(folder, "root.tar");
    const fd = openSync(tar, "w");
    await runProgram(mmdebstrap(), { signal, stdoutFd: fd, fix }).finally(() => closeSync(fd));
    await client.importImage(
      { repo: own.name, tag: own.tag, tar: createReadStream(tar), change: 'CMD ["bash"]' },
      signal,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function mmdebstrap() {
  // With /usr merged from the start the `usrmerge` package, and with it all of perl (50 MB), is not needed.
  const merged = existsSync(mergedUsrHooks)
    ? ["--include=usr-is-merged", `--hook-dir=${mergedUsrHooks}`]
    : [];
  const slim = leftOut.map((pattern) => `--dpkgopt=path-exclude=${pattern}`);
  const kept = "--dpkgopt=path-include=/usr/share/doc/*/copyright";
  return ["mmdebstrap", "--quiet", "--variant=apt", "--format=tar", ...merged, ...slim, kept, suite, "-"];
}
