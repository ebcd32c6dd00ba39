import { sleep } from "../async/index.ts";
import type { Log } from "../log.ts";
import type { Jobs } from "./jobs.ts";
import type { LeaseTable } from "./leases.ts";

/** Says every `everyMs` what a drain still waits for, until the signal fires. */
export async function tellWhatHolds(
  { leases, jobs, log }: { leases: LeaseTable; jobs: Jobs; log: Log },
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await sleep(everyMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    const held = leases.refs().map(({ lease }) => lease);
    log.info({ leases: held, sandboxes: jobs.size }, "worker still drains");
  }
}
