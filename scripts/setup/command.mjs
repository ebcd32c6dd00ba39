/** What every script that starts with set-up shares: Ctrl-C, exit codes, and how a failure is told. */
import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";
import { constants, homedir } from "node:os";
import { SetupFailure } from "./failure.mjs";
import { binDir, nodeBinary, root } from "./paths.mjs";

class Stopped extends SetupFailure {
  constructor(signalName) {
    super(`stopped by ${signalName}`);
    this.signalName = signalName;
  }
}

/** The last is a terminal that was closed. */
const stops = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Runs `main(signal)` and ends the process with what it resolves with; 1 after a failure, 130 after Ctrl-C. */
export async function command(main) {
  const stop = new AbortController();
  let exitCode = 1;
  const onSignal = (name) => {
    exitCode = 128 + constants.signals[name];
    stop.abort(new Stopped(name));
  };
  for (const name of stops) process.on(name, onSignal);
  try {
    process.exitCode = await main(stop.signal);
  } catch (error) {
    tell(error);
    process.exitCode = exitCode;
  }
  for (const name of stops) process.off(name, onSignal);
}

function tell(error) {
  if (!(error instanceof SetupFailure)) {
    console.error(error);
    return;
  }
  if (error.output) console.error(`\n${error.output}`);
  console.error(`\n${error.message}`);
  if (error.fix) console.error(`  → ${error.fix}`);
}

/** the same that the command's first line names: every process of a run loads the same sources */
const compileCache = join(homedir(), ".cache/sallyport");

/**
 * Runs Node 24 with `args` on this terminal; resolves with its exit code. A stop is passed on and then waited for.
 * @param {string[]} args
 * @param {{ signal: AbortSignal, env: Record<string, string> }} options
 * @returns {Promise<number>}
 */
export async function runNode(args, { signal, env }) {
  const path = `${binDir}${delimiter}${process.env.PATH ?? ""}`;
  const child = spawn(nodeBinary, args, {
    cwd: root,
    stdio: "inherit",
    env: { NODE_COMPILE_CACHE: compileCache, ...process.env, ...env, PATH: path },
  });
  // A terminal gives Ctrl-C to the child too; a second one would turn its drain into an abort.
  const onAbort = () => {
    const name = signal.reason instanceof Stopped ? signal.reason.signalName : "SIGTERM";
    if (name !== "SIGINT" || !process.stdin.isTTY) child.kill(name);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, name) => resolve(code ?? 128 + constants.signals[name]));
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
