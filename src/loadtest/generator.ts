/** When jobs are launched: by callers that each wait for their answer, or by a schedule that waits for nothing. */
import { Notifier } from "../async/index.ts";
import type { Clock, Load } from "./contract.ts";

/** Runs one job to its end and never rejects; resolves with whether the hub answered at all. */
export type Launch = (index: number, scheduledAt: number) => Promise<boolean>;

/** How long a caller rests after a job that no hub answered, in `ms` */
const restMs = 100;

/** Resolves once every launched job is over; `stop` ends the launching, not the jobs. */
export async function generate(
  deps: { clock: Clock; launch: Launch },
  load: Load,
  stop: AbortSignal,
): Promise<void> {
  await (load.ratePerS === null ? closedLoop(deps, load, stop) : openLoop(deps, load, stop));
}

async function closedLoop(
  { clock, launch }: { clock: Clock; launch: Launch },
  { concurrency, total, durationMs }: Load,
  stop: AbortSignal,
): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    while (!stop.aborted && next < total && clock.now() < durationMs) {
      const index = next;
      next += 1;
      if (!(await launch(index, clock.now()))) await clock.sleep(restMs, stop).catch(() => undefined);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, total) }, caller));
}

/** Arrival n is due n/rate seconds after the start and keeps that time however late it can be sent. */
async function openLoop(
  { clock, launch }: { clock: Clock; launch: Launch },
  load: Load,
  stop: AbortSignal,
): Promise<void> {
  const outstanding = new Set<Promise<unknown>>();
  const freed = new Notifier();
  const gapMs = 1_000 / (load.ratePerS ?? 1);
  const until = async (due: number): Promise<void> => {
    for (let ahead = due - clock.now(); ahead > 0; ahead = due - clock.now()) await clock.sleep(ahead, stop);
    while (outstanding.size >= load.concurrency) await freed.wait(stop);
  };
  try {
    for (let index = 0; index < load.total && index * gapMs < load.durationMs; index += 1) {
      stop.throwIfAborted();
      await until(index * gapMs);
      const job: Promise<unknown> = launch(index, index * gapMs).then(() => {
        outstanding.delete(job);
        freed.notify();
      });
      outstanding.add(job);
    }
  } catch (error) {
    if (!stop.aborted) throw error;
  }
  await Promise.all(outstanding);
}
