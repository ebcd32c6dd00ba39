/** Where the tests of one run keep what is temporary, so that it can be put away however the run ends. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

export class Scratch {
  #disk = makeFolder(tmpdir());
  #memory = attempt(() => makeFolder("/dev/shm"));
  #tmp = join(this.#disk, "tmp");
  /** For the environment of the tests */
  env = { TMPDIR: this.#tmp, ...(this.#memory ? { TEST_TMPFS: this.#memory } : {}) };

  constructor() {
    mkdirSync(this.#tmp);
  }

  /** A file of the runner's own beside those of the tests. */
  path(name) {
    return join(this.#disk, name);
  }

  /** Ends what no test has ended: an engine or a database that was stopped half-way leaves processes and mounts. */
  stop() {
    for (const pid of processesUnder(this.#tmp)) attempt(() => process.kill(Number(pid), "SIGKILL"));
    for (const mount of mountsUnder(this.#tmp).toReversed()) {
      attempt(() => execFileSync("umount", ["--lazy", mount], { stdio: "ignore" }));
    }
  }

  /** Ids of the workers whose tests did not come to put their folders away */
  workers() {
    const files = readdirSync(this.#tmp, { recursive: true }).filter(
      (path) => basename(path) === "worker-id",
    );
    return files.map((path) => read(join(this.#tmp, path)).trim());
  }

  dispose() {
    for (const folder of [this.#disk, this.#memory]) {
      if (folder) remove(folder);
    }
  }
}

/** Open to all, for databases and sandboxed guests run as other users, who have folders in it. */
function makeFolder(parent) {
  const folder = mkdtempSync(join(parent, "sallyport-tests-"));
  chmodSync(folder, 0o755);
  return folder;
}

/** What cannot be removed is told, and says nothing about the tests. */
function remove(folder) {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  } catch (error) {
    console.error(`${folder} is left: ${error.message}`);
  }
}

/** Those that name something in the folder on their command line, or work in it. */
function processesUnder(folder) {
  const pids = existsSync("/proc") ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : [];
  const place = (pid) => attempt(() => readlinkSync(`/proc/${pid}/cwd`)) ?? "";
  return pids.filter((pid) => `${read(`/proc/${pid}/cmdline`)} ${place(pid)}`.includes(`${folder}/`));
}

function mountsUnder(folder) {
  const places = read("/proc/self/mounts")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "");
  return places.filter((place) => place.startsWith(`${folder}/`));
}

/** Nothing where there is no such file, as on a system without /proc. */
function read(path) {
  return attempt(() => readFileSync(path, "utf8")) ?? "";
}

/** Undefined where it cannot be done: processes and mounts may go by themselves meanwhile. */
function attempt(act) {
  try {
    return act();
  } catch {
    return undefined;
  }
}
