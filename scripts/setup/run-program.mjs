/** Runs host programs so that a failure shows the end of their output and an abort ends all their children. */
import { spawn } from "node:child_process";
import { SetupFailure } from "./failure.mjs";

const keptLines = 40;
const killGraceMs = 5_000;

/**
 * Resolves with what the program printed; rejects with a `SetupFailure` holding the end of it.
 * @param {string[]} argv
 * @param {{ signal: AbortSignal, cwd?: string, env?: Record<string, string>, stdoutFd?: number, fix?: string }} options
 * @returns {Promise<string>}
 */
export async function runProgram(argv, options) {
  options.signal.throwIfAborted();
  const [file, ...args] = argv;
  // A process group of its own: npm and apt start children that outlive a signal to the parent alone.
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    detached: true,
    stdio: ["ignore", options.stdoutFd ?? "pipe", "pipe"],
  });
  const chunks = [];
  child.stdout?.on("data", (chunk) => chunks.push(chunk));
  child.stderr.on("data", (chunk) => chunks.push(chunk));
  const stop = stopOnAbort(child, options.signal);
  try {
    const how = await ended(child);
    options.signal.throwIfAborted();
    const output = Buffer.concat(chunks).toString();
    if (how === "exit code 0") return output;
    throw new SetupFailure(`\`${argv.join(" ")}\` failed (${how})`, {
      output: tail(output),
      fix: options.fix,
    });
  } finally {
    stop();
  }
}

/** @param {string} text */
export function tail(text) {
  return text.trimEnd().split("\n").slice(-keptLines).join("\n");
}

function ended(child) {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(code === null ? `signal ${signal}` : `exit code ${code}`));
  });
}

function stopOnAbort(child, signal) {
  let timer;
  const kill = (name) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // the group is gone already
    }
  };
  const onAbort = () => {
    kill("SIGTERM");
    timer = setTimeout(() => kill("SIGKILL"), killGraceMs);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return () => {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  };
}
