import type { Claim } from "../../store/index.ts";
import type { HubContext } from "../connections/context.ts";
import { refOf } from "../connections/registry.ts";
import type { WorkerConnection } from "../connections/worker-connection.ts";
import { jobIdTime } from "../job-id.ts";

/** Offers a claimed job to the worker it was claimed for. One that cannot be offered any more goes back to the queue. */
export async function offer(context: HubContext, connection: WorkerConnection, claim: Claim): Promise<void> {
  if (connection.phase !== "ready") {
    await takeBack(context, claim, "worker_left");
    return;
  }
  const { offerMs } = context.intervals;
  const timer = setTimeout(() => {
    context.tasks.start("unanswered offer", () => onSilence(context, connection, claim));
  }, offerMs);
  connection.offers.set(claim.jobId, { claim, sentAt: performance.now(), timer });
  if (claim.lease.epoch === 1) context.metrics.dispatched(Date.now() - jobIdTime(claim.jobId));
  connection.channel.send({
    type: "offer",
    ...refOf(claim.lease),
    kind: "job",
    acceptWithinMs: offerMs,
    tenant: claim.tenant,
    spec: claim.spec,
  });
}

/** The worker may be deaf: it is left alone for a while, and told to drop the job should it have taken it after all. */
async function onSilence(context: HubContext, connection: WorkerConnection, claim: Claim): Promise<void> {
  const lease = refOf(claim.lease);
  if (connection.takeOffer(lease) === undefined) return;
  connection.distrust();
  connection.log.warn({ jobId: claim.jobId }, "offer not answered, worker is suspect");
  const { graceMs } = context.intervals;
  connection.channel.send({ type: "lease.cancel", ...lease, reason: "superseded", graceMs });
  await takeBack(context, claim, "unanswered");
}

/** An offer whose acceptance was not heard goes back to its place in the queue. */
export async function takeBack(context: HubContext, claim: Claim, outcome: string): Promise<void> {
  context.metrics.offers.inc({ outcome });
  await context.store.leases.release(claim.lease, Date.now());
  context.live.touch(claim.jobId);
  context.wake.because("offer returned");
}
