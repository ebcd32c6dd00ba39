import { SallyportError } from "../../../errors.ts";
import { sameLease, type LeaseRef } from "../../../protocol/index.ts";
import type { HubContext } from "../context.ts";
import type { HeldJob } from "../held-job.ts";
import type { WorkerConnection } from "../worker-connection.ts";
import type { Handler } from "./handler.ts";

/**
 * The worker lists what it really holds: both sides settle on what goes on. While a claim of what it lists is under way the store
 * cannot judge, and afterwards the list is out of date: it is asked for another.
 */
export const onLeases: Handler<"leases"> = async (context, connection, message) => {
  const unsure = message.leases.flatMap(({ lease }) => connection.held.get(lease) ?? []).filter(isUnsure);
  if (unsure.length > 0) {
    await Promise.all(unsure.map(({ recorded }) => recorded));
    connection.channel.send({ type: "leases.request" });
    return;
  }
  const before = [...connection.held.values()].map((job) => job.lease);
  const verdicts = await context.store.leases.reconcile(connection.sessionId, message.leases, Date.now());
  const byLease = new Map(verdicts.map((verdict) => [verdict.lease, verdict]));
  for (const lease of before) {
    const judged = byLease.get(lease.lease);
    const goesOn = judged?.verdict === "continue" && sameLease(judged, lease);
    if (!goesOn) forget(context, connection, lease);
  }
  connection.channel.send({ type: "leases.verdicts", verdicts });
  context.wake.because("lease ended");
};

function isUnsure({ confirmed }: HeldJob): boolean {
  return !confirmed;
}

/** Exactly this grant: another of the same job, taken since, is none of the list's business. */
function forget(context: HubContext, connection: WorkerConnection, lease: LeaseRef): void {
  const reason = new SallyportError("lease_superseded", `job ${lease.lease} is not held any more`);
  if (connection.letGo(lease, reason)) context.live.settle(lease.lease, null);
}
