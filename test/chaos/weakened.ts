/** Builds with one guard taken out each, and the invariant whose breach must be found on them: what proves that the checker can see. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import type { Invariant } from "./checker.ts";
import type { FaultName } from "./plan.ts";
import type { Summary } from "./report.ts";

export interface Weakening {
  name: string;
  /** what must turn red */
  breaks: Invariant;
  /** file under `src`, and what stands there exactly once */
  file: string;
  guard: string;
  instead: string;
  /** faults that lay the hole open */
  faults: readonly FaultName[];
  /** flags of a run of its own, where the usual one has no such jobs or faults */
  flags?: string;
}

export const weakenings: readonly Weakening[] = [
  {
    name: "the command waits for no confirmation",
    breaks: "I3",
    file: "worker/start-command.ts",
    guard: "await abortable(lease.confirmed, signal);",
    instead: "",
    faults: ["link-slow", "worker-freeze"],
  },
  {
    name: "a cut-off worker goes on",
    breaks: "I3",
    file: "worker/heartbeat.ts",
    guard: "const { selfStopMs, leaseMs } = this.#intervals;",
    instead: "const [selfStopMs, leaseMs] = [3_600_000, 3_600_000];",
    faults: ["link-partition"],
    // longer than a lease, both
    flags:
      "--minutes 0.5 --jobs-per-second 3 --long-share 0.7 --long-ms 15000 --faults-per-second 0.3 --least-fault-ms 8000",
  },
  {
    name: "every job may be tried again",
    breaks: "I3",
    file: "store/rules.ts",
    guard: "if (tries.attempts < tries.maxAttempts) return true;",
    instead: "if (tries.attempts < 20) return true;",
    faults: ["worker-kill"],
  },
  {
    name: "a result that is told again is recorded again",
    breaks: "I2",
    file: "store/sqlite/ops/rows.ts",
    guard: "if (job === undefined || !isHeld(job)) return undefined;",
    instead: "if (job === undefined) return undefined;",
    faults: ["link-reset", "link-stall-down", "hub-kill"],
  },
  {
    name: "a reader that comes back is shown the last piece again",
    breaks: "I4",
    file: "hub/live/job-events.ts",
    guard: "position: record.to });",
    instead: "position: record.from });",
    faults: ["front-cut", "link-cut"],
  },
  {
    name: "a cancel of a waiting job is only told",
    breaks: "I5",
    file: "store/sqlite/ops/jobs.ts",
    guard: "if (waits) endWaiting(db, job, now);",
    instead: "",
    faults: ["worker-freeze", "hub-kill"],
  },
  {
    name: "a result is told once and no more",
    breaks: "I1",
    file: "worker/exit-report.ts",
    guard: "for (;;) {",
    instead: "for (let told = 0; told < 1; told += 1) {",
    faults: ["link-reset", "hub-kill", "link-stall-up"],
  },
  {
    name: "a sandbox is not removed behind its job",
    breaks: "I6",
    file: "worker/sandboxes.ts",
    guard:
      'await withDeadline(Promise.resolve(sandbox[Symbol.asyncDispose]()), boundMs, "removing a sandbox");',
    instead: "void [withDeadline, sandbox, boundMs];",
    faults: ["link-cut"],
  },
  {
    name: "the store answers before its commit",
    breaks: "I7",
    file: "store/sqlite/group-commit.ts",
    guard:
      'return db.transaction("BEGIN IMMEDIATE", () => calls.map((call) => inSavepoint(db, operations, call)));',
    instead:
      'if (!db.inTransaction) { db.run("BEGIN IMMEDIATE"); setTimeout(() => db.run("COMMIT"), 300); } return calls.map((call) => inSavepoint(db, operations, call));',
    faults: ["hub-kill"],
  },
];

export interface WeakenedResult {
  weakening: Weakening;
  /** the invariants that were found broken */
  found: Invariant[];
  /** runs it took */
  runs: number;
}

const root = resolve(import.meta.dirname, "../..");
const mostRuns = 4;

/** Runs chaos on a copy of the source without the guard until the breach shows, at most `mostRuns` times. */
export async function runWeakened(
  weakening: Weakening,
  options: { seed: number; seconds: number; signal?: AbortSignal },
): Promise<WeakenedResult> {
  using copy = weakenedCopy(weakening);
  const found = new Set<Invariant>();
  let runs = 0;
  while (!found.has(weakening.breaks) && runs < mostRuns && options.signal?.aborted !== true) {
    runs += 1;
    const summary = await runIn(copy.dir, weakening, { ...options, seed: options.seed + runs });
    for (const { invariant } of summary.violations) found.add(invariant);
  }
  return { weakening, found: [...found], runs };
}

function weakenedCopy({ file, guard, instead }: Weakening): Disposable & { dir: string } {
  const dir = join(root, ".sallyport", `weakened-${process.pid}`);
  mkdirSync(dir, { recursive: true });
  for (const part of ["src", "test/chaos", "test/helpers"]) {
    cpSync(join(root, part), join(dir, part), { recursive: true });
  }
  const path = join(dir, "src", file);
  const parts = readFileSync(path, "utf8").split(guard);
  if (parts.length !== 2) throw new Error(`src/${file} holds ${parts.length - 1} times: ${guard}`);
  writeFileSync(path, parts.join(instead));
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

async function runIn(
  dir: string,
  { faults, flags }: Weakening,
  { seed, seconds, signal }: { seed: number; seconds: number; signal?: AbortSignal },
): Promise<Summary> {
  const args = ["--seed", String(seed), "--minutes", String(seconds / 60), "--faults", faults.join(",")];
  args.push(..."--faults-per-second 1.5 --jobs-per-second 8 --quiet-seconds 15 --json".split(" "));
  if (flags !== undefined) args.push(...flags.split(" "));
  const child = spawn(process.execPath, [join(dir, "test/chaos/main.ts"), ...args], {
    stdio: ["ignore", "pipe", "ignore"],
    ...(signal !== undefined && { signal }),
  });
  // ended by the signal: what it printed until then is no summary
  child.on("error", () => undefined);
  const [out] = await Promise.all([text(child.stdout), once(child, "close")]);
  signal?.throwIfAborted();
  return JSON.parse(out) as Summary;
}
