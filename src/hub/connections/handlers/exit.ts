import { SallyportError } from "../../../errors.ts";
import { refOf } from "../registry.ts";
import type { Handler } from "./handler.ts";

/** The attempt is over. Told again until `lease.done` answers it; the store records the first telling. */
export const onExit: Handler<"lease.exit"> = async (context, connection, message) => {
  const lease = refOf(message);
  const held = connection.heldUnder(lease);
  const finish = (): ReturnType<typeof context.store.leases.finish> =>
    context.store.leases.finish(lease, message.outcome, Date.now());
  const { fenced, requeued, job } = await (held?.record(finish) ?? finish());
  const first = connection.letGo(lease, new SallyportError("stdin_closed", `job ${lease.lease} ended`));
  connection.channel.send({ type: "lease.done", ...lease, outcome: fenced });
  if (fenced === "superseded") context.metrics.superseded.inc({ message: message.type });
  if (fenced === "recorded" && first) {
    context.live.settle(lease.lease, job);
    if (job?.result) context.metrics.jobEnded(job.result);
  }
  context.wake.because(requeued ? "job queued" : "lease ended");
};
