#!/usr/bin/env -S NODE_COMPILE_CACHE=${HOME}/.cache/sallyport node --disable-warning=ExperimentalWarning
/** Composition root: joins the command line to the process it runs in and to the roles it can start. */
import { readFileSync } from "node:fs";
import { runCli, type StopSignal, type WatchSignals } from "./cli/index.ts";
import { keepBuffersShortLived } from "./heap.ts";
import { createRoles } from "./roles/index.ts";

keepBuffersShortLived();

const version = (
  JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }
).version;

const watch =
  (names: readonly StopSignal[]): WatchSignals =>
  (listener) => {
    let count = 0;
    const told = (signal: NodeJS.Signals): void => listener(signal as StopSignal, (count += 1));
    for (const name of names) process.on(name, told);
    return { [Symbol.dispose]: () => names.forEach((name) => process.off(name, told)) };
  };

const code = await runCli(
  process.argv.slice(2),
  {
    stdin: { fd: 0, open: () => process.stdin },
    stdout: process.stdout,
    stderr: process.stderr,
    cwd: process.cwd(),
    watchSignals: watch(["SIGINT", "SIGTERM", "SIGHUP"]),
    roles: createRoles({
      version,
      watchSignals: watch(["SIGINT", "SIGTERM"]),
      watchHangups: (listener) => watch(["SIGHUP"])(() => listener()),
      announce: (line) => void process.stdout.write(`${JSON.stringify(line)}\n`),
    }),
  },
  version,
);
// Everything is written by now; a stdin that somebody keeps open must not keep the process.
process.exit(code);
