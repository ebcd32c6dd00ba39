/** Finds a Docker-compatible engine; on Debian and Ubuntu, as root, installs and starts one where there is none. */
import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { install } from "./apt.mjs";
import { EngineClient } from "./engine-client.mjs";
import { SetupFailure } from "./failure.mjs";
import { findProgram } from "./find-program.mjs";
import { runProgram, tail } from "./run-program.mjs";

const startTimeoutMs = 60_000;
const stopTimeoutMs = 10_000;
const fixNoEngine =
  "install Docker (Debian/Ubuntu: `apt-get install docker.io`; others: https://docs.docker.com/engine/install/) or Podman, " +
  "start it, and make its socket usable by this user; or set DOCKER_HOST to an engine that runs elsewhere";

/** What set-up knows of, and may do to, the host it runs on. */
export function thisHost() {
  return {
    env: process.env,
    root: process.platform === "linux" && process.getuid?.() === 0,
    systemd: existsSync("/run/systemd/system"),
    /** Where a dockerd started by us listens */
    socket: "/var/run/docker.sock",
    /** Where the engines of this user and of Podman listen */
    otherSockets: [...ownSockets(process.env.XDG_RUNTIME_DIR), "/run/podman/podman.sock"],
    logFile: "/var/log/sallyport-dockerd.log",
    find: findProgram,
    install,
  };
}

/** @typedef {ReturnType<typeof thisHost>} Host */

/**
 * @param {{ signal: AbortSignal, host?: Host }} options
 * @param {(what: string) => void} started
 * @returns {Promise<{ client: EngineClient, summary: string }>}
 */
export async function ensureEngine({ signal, host = thisHost() }, started) {
  const found = await firstAnswering(candidates(host));
  if (found !== undefined) return found;
  if (host.env.DOCKER_HOST) {
    throw new SetupFailure(`no engine answers at DOCKER_HOST=${host.env.DOCKER_HOST}`, {
      fix: "start it, or unset DOCKER_HOST",
    });
  }
  if (!host.root || !(host.find("dockerd") ?? host.find("apt-get"))) {
    throw new SetupFailure("no Docker-compatible engine answers on this host", { fix: fixNoEngine });
  }
  if (host.find("dockerd") === undefined) await installEngine(host, signal, started);
  started("starting dockerd");
  await start(host, signal);
  const engine = await firstAnswering([addressAt(host.socket)]);
  if (engine === undefined)
    throw new SetupFailure("dockerd stopped answering", { output: endOf(host.logFile) });
  return engine;
}

/** Addresses where an engine may answer, best first; only `DOCKER_HOST` where it is set. */
function candidates({ env, socket, otherSockets }) {
  return env.DOCKER_HOST ? [env.DOCKER_HOST] : [socket, ...otherSockets].map(addressAt);
}

function ownSockets(folder) {
  return folder ? [`${folder}/docker.sock`, `${folder}/podman/podman.sock`] : [];
}

const addressAt = (socket) => `unix://${socket}`;

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

async function installEngine(host, signal, started) {
  const packages = ["docker.io", "ca-certificates"];
  // Where the kernel enforces AppArmor, dockerd refuses containers unless it can load its profile.
  if (readOr("/sys/module/apparmor/parameters/enabled").startsWith("Y")) packages.push("apparmor");
  if (!controlGroupsMounted()) packages.push("cgroupfs-mount");
  started(`installing ${packages.join(", ")} with apt`);
  await host.install(packages, signal);
}

async function start(host, signal) {
  if (host.systemd) {
    const fix = "see `journalctl -u docker`";
    await runProgram(["systemctl", "start", "docker"], { signal, fix });
    if (await answers(host, signal, () => true)) return;
    throw new SetupFailure("docker.service was started, but nothing answers", { fix });
  }
  const mount = host.find("cgroupfs-mount");
  if (!controlGroupsMounted() && mount !== undefined) await runProgram([mount], { signal });
  if (await startByHand(host, [], signal)) return;
  // Sandboxes have no network and images are built on the host's, so an engine without a bridge is enough.
  const output = endOf(host.logFile);
  if (await startByHand(host, ["--bridge=none", "--iptables=false", "--ip6tables=false"], signal)) return;
  throw new SetupFailure("dockerd does not start", {
    output: `${output}\n--- without a bridge network ---\n${endOf(host.logFile)}`,
    fix: `see ${host.logFile}; this host may lack what containers need (control groups, overlayfs)`,
  });
}

/** Starts a dockerd that outlives this process; false when it ended, or did not answer in time and was stopped. */
async function startByHand(host, flags, signal) {
  const log = openSync(host.logFile, "w", 0o640);
  const daemon = spawn(host.find("dockerd"), [`--host=${addressAt(host.socket)}`, ...flags], {
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let alive = true;
  const gone = new Promise((resolve) => daemon.once("error", resolve).once("exit", resolve)).then(
    () => (alive = false),
  );
  let ready = false;
  try {
    ready = await answers(host, signal, () => alive);
  } finally {
    if (!ready && alive) {
      daemon.kill("SIGTERM");
      // The next attempt, or the next set-up, must not meet this one.
      await Promise.race([gone, sleep(stopTimeoutMs, undefined, { ref: false })]);
    }
  }
  daemon.unref();
  return ready;
}

async function answers(host, signal, alive) {
  const client = new EngineClient(addressAt(host.socket));
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

function endOf(logFile) {
  return tail(readOr(logFile));
}

function readOr(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
