import type { Claim } from "../../store/index.ts";
import type { HubContext } from "../connections/context.ts";
import { refOf } from "../connections/registry.ts";
import { supersededError } from "../connections/superseded.ts";
import type { PendingOffer, WorkerConnection } from "../connections/worker-connection.ts";
import { jobIdTime } from "../job-id.ts";

/** Offers a claimed job to the worker it was claimed for. One that cannot be offered any more goes back to the queue. */
export async function offer(context: HubContext, connection: WorkerConnection, claim: Claim): Promise<void> {
  const granted = Promise.resolve(true);
  if (connection.phase === "ready") send(context, connection, { claim, granted });
  else await takeBack(context, { claim, granted }, "worker_left");
}

/**
 * Offers a job while its claim is being committed. The worker may make everything ready meanwhile; it is told that its acceptance was
 * heard only once the claim turned out as foreseen, and to drop the job when it did not.
 */
export async function offerAhead(
  context: HubContext,
  connection: WorkerConnection,
  foreseen: Pick<PendingOffer, "claim" | "granted">,
): Promise<void> {
  send(context, connection, foreseen);
  if (await foreseen.granted) return;
  const { lease } = foreseen.claim;
  const isPending = connection.takeOffer(lease) !== undefined;
  if (connection.letGo(lease, supersededError(lease)) || isPending) withdraw(context, connection, lease);
}

function send(
  context: HubContext,
  connection: WorkerConnection,
  { claim, granted }: Pick<PendingOffer, "claim" | "granted">,
): void {
  const { offerMs } = context.intervals;
  const timer = setTimeout(() => {
    context.tasks.start("unanswered offer", () => onSilence(context, connection, claim));
  }, offerMs);
  connection.awaitAnswer({ claim, granted, sentAt: performance.now(), timer });
  const waitedMs = Date.now() - jobIdTime(claim.jobId);
  void granted.then((isGranted) => {
    if (isGranted && claim.lease.epoch <= 2) context.metrics.dispatched(waitedMs);
  });
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
  const pending = connection.takeOffer(refOf(claim.lease));
  if (pending === undefined) return;
  connection.distrust();
  connection.log.warn({ jobId: claim.jobId }, "offer not answered, worker is suspect");
  withdraw(context, connection, claim.lease);
  await takeBack(context, pending, "unanswered");
}

function withdraw({ intervals }: HubContext, connection: WorkerConnection, lease: Claim["lease"]): void {
  const { graceMs } = intervals;
  connection.channel.send({ type: "lease.cancel", ...refOf(lease), reason: "superseded", graceMs });
}

/** An offer whose acceptance was not heard goes back to its place in the queue. */
export async function takeBack(
  context: HubContext,
  offered: Pick<PendingOffer, "claim" | "granted">,
  outcome: string,
): Promise<void> {
  context.metrics.offers.inc({ outcome });
  await giveBack(context, offered);
}

/** The job goes back to its place in the queue, if it ever was this worker's; no attempt is spent. */
export async function giveBack(
  context: HubContext,
  { claim, granted }: Pick<PendingOffer, "claim" | "granted">,
): Promise<void> {
  if (!(await granted)) return;
  await context.store.leases.release(claim.lease, Date.now());
  context.live.touch(claim.jobId);
  context.wake.because("offer returned");
}
