import { SallyportError } from "../../../errors.ts";
import type { HubContext } from "../context.ts";
import { refOf } from "../registry.ts";
import type { WorkerConnection } from "../worker-connection.ts";
import type { Handler } from "./handler.ts";

/** The worker lists what it really holds: both sides settle on what goes on. */
export const onLeases: Handler<"leases"> = async (context, connection, message) => {
  await Promise.all([...connection.held.values()].map(({ recorded }) => recorded));
  const missing = new Set(connection.held.keys());
  message.leases.forEach(({ lease }) => missing.delete(lease));
  const verdicts = await context.store.leases.reconcile(connection.sessionId, message.leases, Date.now());
  for (const { verdict, lease } of verdicts) if (verdict !== "continue") missing.add(lease);
  for (const lease of missing) forget(context, connection, lease);
  connection.channel.send({ type: "leases.verdicts", verdicts });
  context.wake.because("lease ended");
};

function forget(context: HubContext, connection: WorkerConnection, lease: string): void {
  const job = connection.held.get(lease);
  if (job === undefined) return;
  connection.letGo(
    refOf(job.lease),
    new SallyportError("lease_superseded", `job ${lease} is not held any more`),
  );
  context.live.settle(lease, null);
}
