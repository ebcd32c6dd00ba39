/** Finds a Docker-compatible engine; on Debian and Ubuntu, as root, installs and starts one where there is none. */
import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { canInstall, install } from "./apt.mjs";
import { EngineClient } from "./engine-client.mjs";
import { SetupFailure } from "./failure.mjs";
import { findProgram } from "./find-program.mjs";
import { runProgram, tail } from "./run-program.mjs";

const defaultHost = "unix:///var/run/docker.sock";
const logFile = "/var/log/sallyport-dockerd.log";
const startTimeoutMs = 60_000;
const fixNoEngine =
  "install Docker (Debian/Ubuntu: `apt-get install docker.io`; others: https://docs.docker.com/engine/install/) or Podman, " +
  "start it, and make its socket usable by this user; or set DOCKER_HOST to an engine that runs elsewhere";

/**
 * @param {{ signal: AbortSignal, env?: NodeJS.ProcessEnv, uid?: number }} options
 * @param {(what: string) => void} started
 * @returns {Promise<{ client: EngineClient, summary: string }>}
 */
export async function ensureEngine({ signal, env = process.env, uid = process.getuid?.() }, started) {
  const found = await firstAnswering(candidates(env));
  if (found !== undefined) return found;
  if (env.DOCKER_HOST) {
    throw new SetupFailure(`no engine answers at DOCKER_HOST=${env.DOCKER_HOST}`, {
      fix: "start it, or unset DOCKER_HOST",
    });
  }
  if (process.platform !== "linux" || uid !== 0 || !(canInstall() || findProgram("dockerd"))) {
    throw new SetupFailure("no Docker-compatible engine answers on this host", { fix: fixNoEngine });
  }
  if (findProgram("dockerd") === undefined) await installEngine(signal, started);
  started("starting dockerd");
  await start(signal);
  const engine = await firstAnswering([defaultHost]);
  if (engine === undefined) throw new SetupFailure("dockerd stopped answering", { output: endOfLog() });
  return engine;
}

/** Addresses where an engine may answer, best first; only `DOCKER_HOST` where it is set. */
export function candidates(env) {
  if (env.DOCKER_HOST) return [env.DOCKER_HOST];
  const folder = env.XDG_RUNTIME_DIR;
  const own = folder ? [`unix://${folder}/docker.sock`, `unix://${folder}/podman/podman.sock`] : [];
  return [defaultHost, ...own, "unix:///run/podman/podman.sock"];
}

async function firstAnswering(hosts) {
  for (const host of hosts) {
    const client = new EngineClient(host);
    const version = await client.version();
    if (version !== undefined)
      return { client, summary: `${engineName(version)} ${version.Version} at ${host}` };
  }
  return undefined;
}

function engineName(version) {
  return version.Components?.some((part) => /podman/i.test(part.Name)) ? "Podman" : "Docker";
}

async function installEngine(signal, started) {
  const packages = ["docker.io", "ca-certificates"];
  // Where the kernel enforces AppArmor, dockerd refuses containers unless it can load its profile.
  if (readOr("/sys/module/apparmor/parameters/enabled").startsWith("Y")) packages.push("apparmor");
  if (!controlGroupsMounted()) packages.push("cgroupfs-mount");
  started(`installing ${packages.join(", ")} with apt`);
  await install(packages, signal);
}

async function start(signal) {
  if (existsSync("/run/systemd/system")) {
    await runProgram(["systemctl", "start", "docker"], { signal, fix: "see `journalctl -u docker`" });
    if (await answers(signal, () => true)) return;
    throw new SetupFailure("docker.service was started, but nothing answers", {
      fix: "see `journalctl -u docker`",
    });
  }
  const mount = findProgram("cgroupfs-mount");
  if (!controlGroupsMounted() && mount !== undefined) await runProgram([mount], { signal });
  if (await startByHand([], signal)) return;
  // Sandboxes have no network and images are built on the host's, so an engine without a bridge is enough.
  const output = endOfLog();
  if (await startByHand(["--bridge=none", "--iptables=false", "--ip6tables=false"], signal)) return;
  throw new SetupFailure("dockerd does not start", {
    output: `${output}\n--- without a bridge network ---\n${endOfLog()}`,
    fix: `see ${logFile}; this host may lack what containers need (control groups, overlayfs)`,
  });
}

/** Starts a dockerd that outlives this process; false when it ended, or did not answer in time and was stopped. */
async function startByHand(flags, signal) {
  const log = openSync(logFile, "w", 0o640);
  const daemon = spawn(findProgram("dockerd") ?? "dockerd", [`--host=${defaultHost}`, ...flags], {
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let alive = true;
  daemon.once("error", () => (alive = false));
  daemon.once("exit", () => (alive = false));
  let ready = false;
  try {
    ready = await answers(signal, () => alive);
  } finally {
    if (!ready && alive) daemon.kill("SIGTERM");
  }
  daemon.unref();
  return ready;
}

async function answers(signal, alive) {
  const client = new EngineClient(defaultHost);
  const until = performance.now() + startTimeoutMs;
  while (performance.now() < until && alive()) {
    if ((await client.version(1_000)) !== undefined) return true;
    await sleep(200, undefined, { signal });
  }
  return false;
}

function controlGroupsMounted() {
  try {
    return readdirSync("/sys/fs/cgroup").length > 0;
  } catch {
    return false;
  }
}

function endOfLog() {
  return tail(readOr(logFile));
}

function readOr(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
