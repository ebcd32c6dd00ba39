/** What happens by time alone: leases run out, deadlines pass, old jobs are forgotten. */
import { sleep, steadyNow } from "../async/index.ts";
import type { HubContext } from "./connections/context.ts";
import { refOf } from "./connections/registry.ts";
import { supersededError } from "./connections/superseded.ts";

const tickMs = 1_000;
const pruneEveryMs = 600_000;

export interface ExpiryOptions {
  /** how long a finished job is kept, `ms` */
  retentionMs: number;
}

/** Runs until the signal fires. */
export async function expiryLoop(
  context: HubContext,
  options: ExpiryOptions,
  signal: AbortSignal,
): Promise<void> {
  const every = Math.max(20, Math.min(tickMs, context.intervals.leaseMs / 4));
  let pruneAt = performance.now();
  while (!signal.aborted) {
    await attempt(context, "expiry", () => expireLeases(context));
    stopOverdue(context, performance.now());
    if (performance.now() >= pruneAt) {
      pruneAt = performance.now() + pruneEveryMs;
      await attempt(context, "retention", () => prune(context, options.retentionMs));
    }
    context.wake.because("timer");
    await sleep(every, signal).catch(() => undefined);
  }
}

async function attempt(context: HubContext, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    context.log.warn({ err: error, what }, "periodic work failed, it will be tried again");
  }
}

/** A worker that renews nothing loses what it held; who comes back later is told so. */
async function expireLeases(context: HubContext): Promise<void> {
  for (const { jobId, requeued } of await context.store.leases.expire(steadyNow())) {
    context.log.warn({ jobId, requeued }, "lease expired");
    context.metrics.leasesExpired.inc();
    const holder = context.registry.holderOf(jobId);
    holder?.connection.letGo(holder.job.lease, supersededError(holder.job.lease));
    context.live.settle(jobId, null);
    context.wake.because(requeued ? "job queued" : "lease ended");
  }
}

/** The worker ends its jobs in time by itself; this is for one that does not. */
function stopOverdue(context: HubContext, now: number): void {
  const { graceMs } = context.intervals;
  for (const connection of context.registry.all()) {
    for (const job of connection.held.values()) {
      if (job.overdue || job.deadlineAt === null || now < job.deadlineAt) continue;
      job.overdue = true;
      connection.log.warn({ jobId: job.jobId }, "job is over its deadline, telling the worker to stop it");
      connection.channel.send({ type: "lease.cancel", ...refOf(job.lease), reason: "timeout", graceMs });
    }
  }
}

async function prune(context: HubContext, retentionMs: number): Promise<void> {
  const gone = await context.store.prune(Date.now() - retentionMs);
  if (gone > 0) context.log.info({ jobs: gone }, "old jobs removed");
}
