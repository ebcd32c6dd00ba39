/** What a run of timings says, with nothing trimmed. */
export interface Summary {
  n: number;
  p50: number;
  p99: number;
  max: number;
}

export function summarise(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  return { n: sorted.length, p50: at(sorted, 0.5), p99: at(sorted, 0.99), max: sorted.at(-1) ?? 0 };
}

/** Nearest rank: the smallest sample that at least `share` of all samples do not exceed. */
function at(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

export async function timed(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await run();
  return performance.now() - started;
}

/** Each of `runs` in turn, `rounds` times, so that a drift of the machine's speed meets all of them alike; first round not counted. */
export async function sideBySide<Name extends string>(
  rounds: number,
  runs: Record<Name, () => Promise<unknown>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(runs) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round <= rounds; round += 1) {
    for (const name of names) {
      const ms = await timed(runs[name]);
      if (round > 0) samples[name].push(ms);
    }
  }
  return samples;
}

/** Calls `run` `total` times with `concurrency` callers in a closed loop; calls per second. */
export async function closedLoop(
  load: { total: number; concurrency: number },
  run: (n: number) => Promise<unknown>,
): Promise<number> {
  let next = 0;
  const started = performance.now();
  const caller = async (): Promise<void> => {
    while (next < load.total) await run(next++);
  };
  await Promise.all(Array.from({ length: load.concurrency }, caller));
  return (load.total * 1_000) / (performance.now() - started);
}
