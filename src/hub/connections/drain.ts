import type { HubContext } from "./context.ts";
import type { WorkerConnection } from "./worker-connection.ts";

/** Lets a worker connected to this hub finish what it holds and take nothing new; undefined where it is not. */
export function drainHere(
  { registry }: HubContext,
  workerId: string,
  deadlineMs: number | null,
): WorkerConnection | undefined {
  const connection = registry.get(workerId);
  connection?.enter("draining");
  connection?.channel.send({ type: "drain", deadlineMs });
  return connection;
}
