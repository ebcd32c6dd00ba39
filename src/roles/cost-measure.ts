/** What the sandboxes of one profile cost on this host, found by making them. */
import { abortable, sleep } from "../async/index.ts";
import type { Driver, Exec, Profile, Sandbox } from "../sandbox/index.ts";
import { makeWarm, plainOutfit, programOf, type WarmSandbox } from "../worker/index.ts";

/** Untrimmed percentiles over `n` runs, one after another, in `ms` */
export interface Spread {
  n: number;
  p50Ms: number;
  p99Ms: number;
}

export interface CostFigures {
  /** ISO time */
  measuredAt: string;
  /** From asking for a sandbox to the end of `true` in it; its removal is not in it */
  cold: Spread;
  /** From the hand-over of a job to its end, in a sandbox made ahead: an empty program, or `true` where no interpreter waits */
  warm: Spread;
  /** Memory of a sandbox in which nothing runs, in bytes */
  idleBytes: number;
  /** Memory of a sandbox made ahead, its interpreters waiting, in bytes */
  warmBytes: number;
  /** Sandboxes made and removed per second, `atOnce` at a time */
  rate: { n: number; atOnce: number; perSecond: number };
}

export interface MeasureOptions {
  /** Sandboxes made for each figure */
  rounds: number;
  progress: (text: string) => void;
  signal: AbortSignal;
}

const atOnce = 2;
/** How long a sandbox is left alone before its memory is read, in `ms` */
const settleMs = 300;

/** The profile is prepared. Throws what the driver throws, or the signal's reason; nothing is left behind. */
export async function measureCost(
  driver: Driver,
  profile: Profile,
  { rounds, progress, signal }: MeasureOptions,
): Promise<CostFigures> {
  progress(`${profile.name}: ${rounds} cold starts`);
  const cold = await times(rounds, () => coldStart(driver, profile, signal));
  progress(`${profile.name}: ${rounds} warm starts`);
  const warm = await times(rounds, () => warmStart(driver, profile, signal));
  progress(`${profile.name}: memory at rest`);
  const idleBytes = await memoryOf(await driver.create(specOf(profile), signal), signal);
  const warmBytes = await memoryOf((await makeWarm(driver, profile, plainOutfit, signal)).sandbox, signal);
  progress(`${profile.name}: ${rounds} sandboxes, ${atOnce} at a time`);
  const perSecond = await rateOf(driver, profile, { rounds, signal });
  return {
    measuredAt: new Date().toISOString(),
    cold: spread(cold),
    warm: spread(warm),
    idleBytes,
    warmBytes,
    rate: { n: rounds, atOnce, perSecond },
  };
}

async function coldStart(driver: Driver, profile: Profile, signal: AbortSignal): Promise<number> {
  const began = performance.now();
  await using sandbox = await driver.create(specOf(profile), signal);
  await finish(await sandbox.guest.exec(nothing), signal);
  return performance.now() - began;
}

async function warmStart(driver: Driver, profile: Profile, signal: AbortSignal): Promise<number> {
  const warm = await makeWarm(driver, profile, plainOutfit, signal);
  await using _sandbox = warm.sandbox;
  const began = performance.now();
  await finish(await beginJob(warm, profile), signal);
  return performance.now() - began;
}

async function beginJob({ sandbox, interpreters }: WarmSandbox, profile: Profile): Promise<Exec> {
  const [first] = interpreters;
  if (first === undefined) return await sandbox.guest.exec(nothing);
  const [language, interpreter] = first;
  const { source } = programOf({ run: { language, code: "" }, files: [] }, profile);
  return interpreter.begin({ source, env: {}, stdin: false });
}

async function memoryOf(made: Sandbox, signal: AbortSignal): Promise<number> {
  await using sandbox = made;
  await sleep(settleMs, signal);
  return (await sandbox.stats()).memoryBytes;
}

async function rateOf(
  driver: Driver,
  profile: Profile,
  { rounds, signal }: { rounds: number; signal: AbortSignal },
): Promise<number> {
  let left = rounds;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await using _sandbox = await driver.create(specOf(profile), signal);
    }
  };
  const began = performance.now();
  // both lanes come to their end, also when one fails: no sandbox is left to itself
  const ended = await Promise.allSettled(Array.from({ length: atOnce }, lane));
  for (const outcome of ended) if (outcome.status === "rejected") throw outcome.reason;
  return (rounds * 1_000) / (performance.now() - began);
}

const nothing = { argv: ["true"], env: {}, cwd: "/workspace", stdin: "none" } as const;

function specOf(profile: Profile): { profile: Profile; lease: string; hosts: readonly string[] } {
  return { profile, lease: "cost", hosts: [] };
}

async function finish(exec: Exec, signal: AbortSignal): Promise<void> {
  const drained = (async () => {
    for await (const _ of exec.output);
    await exec.exit;
  })();
  await abortable(drained, signal);
}

async function times(rounds: number, run: () => Promise<number>): Promise<number[]> {
  const taken: number[] = [];
  for (let round = 0; round < rounds; round += 1) taken.push(await run());
  return taken;
}

export function spread(taken: readonly number[]): Spread {
  const sorted = taken.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
  return { n: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) };
}
