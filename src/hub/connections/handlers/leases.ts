import { SallyportError } from "../../../errors.ts";
import type { HubContext } from "../context.ts";
import type { HeldJob } from "../held-job.ts";
import { refOf } from "../registry.ts";
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
  const missing = new Set(connection.held.keys());
  message.leases.forEach(({ lease }) => missing.delete(lease));
  const verdicts = await context.store.leases.reconcile(connection.sessionId, message.leases, Date.now());
  for (const { verdict, lease } of verdicts) if (verdict !== "continue") missing.add(lease);
  for (const lease of missing) forget(context, connection, lease);
  connection.channel.send({ type: "leases.verdicts", verdicts });
  context.wake.because("lease ended");
};

function isUnsure({ confirmed }: HeldJob): boolean {
  return !confirmed;
}

function forget(context: HubContext, connection: WorkerConnection, lease: string): void {
  const job = connection.held.get(lease);
  if (job === undefined) return;
  connection.letGo(
    refOf(job.lease),
    new SallyportError("lease_superseded", `job ${lease} is not held any more`),
  );
  context.live.settle(lease, null);
}
