/** What the simulated fleet's measurements say. */
import { availableParallelism } from "node:os";
import { ms, type Figure } from "./report.ts";
import { plan, type Load, type Measured } from "./scale-plan.ts";
import type { Shares } from "./processor-time.ts";
import { summarise } from "./stats.ts";

type Circumstances = Pick<Figure, "n" | "mode" | "includes" | "raw">;

const slots = plan.workers * plan.slots;
const idle = `${plan.idleMs / 1_000} s`;

export function figuresOf(measured: Measured): Figure[] {
  return [filled(measured), ...waits(measured), ...loads(measured), memory(measured)];
}

function told(what: string, value: string, more: Circumstances): Figure {
  return { what: `scale: ${what}`, value, budget: "told, not held to one", held: true, ...more };
}

function filled({ fill }: Measured): Figure {
  return {
    what: "scale: slots with a job at once",
    value: `${fill.held} of ${slots} after ${fill.seconds.toFixed(0)} s`,
    budget: "all",
    held: fill.held === slots,
    n: slots,
    mode: `${plan.busy.concurrency} clients submit jobs that last`,
    includes: `${plan.workers} workers of ${plan.slots} slots in ${plan.processes} processes, 2 hubs, PostgreSQL with fsync`,
    raw: { ...fill },
  };
}

function waits({ calmJobs, busyJobs }: Measured): Figure[] {
  const includes = "from the job's record to its lease, as its result tells in whole ms";
  const wait = (what: string, samples: readonly number[], mode: string): Figure => {
    const { n, p50, p99, max } = summarise(samples);
    const value = `p50 ${ms(p50)}, p99 ${ms(p99)}, max ${ms(max)}`;
    return told(what, value, { n, mode, includes, raw: { p50, p99, max } });
  };
  return [
    wait(
      "a job waits for a worker",
      calmJobs,
      `closed loop of ${plan.calm.concurrency}, nearly all slots free`,
    ),
    wait("the same at full rate", busyJobs, `closed loop of ${plan.busy.concurrency}`),
  ];
}

function loads({ atRest, atWork, rate, fill }: Measured): Figure[] {
  const perJob = (atWork.transactions / rate).toFixed(2);
  return [
    told("jobs recorded", `${rate.toFixed(0)} jobs/s, ${perJob} transactions a job`, {
      n: plan.busy.total,
      mode: `closed loop of ${plan.busy.concurrency} over both hubs`,
      includes: `${textOf(atWork)}; ${boundOf(atWork.shares)}`,
      raw: { rate, ...atWork },
    }),
    told("an idle fleet", textOf(atRest), {
      n: plan.workers,
      mode: idle,
      includes: "heartbeats, renewals, looking for work",
      raw: { ...atRest },
    }),
    told("a full fleet that only waits", textOf(fill.load), {
      n: slots,
      mode: idle,
      includes: "the same, with a job in every slot",
      raw: { ...fill.load },
    }),
  ];
}

function memory({ restMb, fullMb }: Measured): Figure {
  const value = `${restMb.toFixed(1)} MB idle, ${fullMb.toFixed(1)} MB with ${plan.slots} jobs`;
  const share = plan.workers / plan.processes;
  return told("memory of one worker", value, {
    n: plan.workers,
    mode: `resident memory of ${plan.processes} processes over ${plan.workers} workers`,
    includes: `one ${share}th of a process of Node`,
    raw: { restMb, fullMb },
  });
}

function textOf({ transactions, rows, walMb, shares }: Load): string {
  const parts = Object.entries(shares).map(([name, share]) => `${name} ${share.toFixed(2)}`);
  const database = `${transactions.toFixed(0)} transactions/s, ${rows.toFixed(0)} rows/s, ${walMb.toFixed(2)} MB/s of WAL`;
  return `${database}; processors: ${parts.join(", ")}`;
}

/** One thread at its end, all processors of this host, or neither. */
function boundOf(shares: Shares): string {
  const hub = Math.max(shares["hub 1"] ?? 0, shares["hub 2"] ?? 0);
  const all = Object.values(shares).reduce((sum, share) => sum + share, 0);
  const processors = availableParallelism();
  const used = `${all.toFixed(2)} of this host's ${processors} processors used`;
  if (hub > 0.9) return `bound by a hub's thread (${used}): add a hub`;
  if (all > 0.85 * processors)
    return `bound by processors (${used}): give hubs and database hosts of their own`;
  return `bound by waiting for commits, or by others on this host (${used}): a faster disk for the database, or more clients`;
}
