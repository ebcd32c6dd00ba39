import type { LeaseRef } from "../../protocol/index.ts";
import { SallyportError } from "../../errors.ts";
import type { HubContext } from "./context.ts";
import type { WorkerConnection } from "./worker-connection.ts";

/** Tells a worker that what it said of a lease came too late and changed nothing. */
export function tellSuperseded(
  context: HubContext,
  connection: WorkerConnection,
  lease: LeaseRef,
  what: string,
): void {
  context.metrics.superseded.inc({ message: what });
  connection.log.info({ ...lease, what }, "late message about a lease");
  connection.letGo(lease, supersededError(lease));
  connection.channel.send({ type: "lease.done", ...lease, outcome: "superseded" });
}

export function supersededError({ lease, attempt, epoch }: LeaseRef): SallyportError {
  return new SallyportError("lease_superseded", `lease ${lease}: attempt ${attempt}, epoch ${epoch} is over`);
}
