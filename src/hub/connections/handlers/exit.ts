import { SallyportError } from "../../../errors.ts";
import type { LeaseRef } from "../../../protocol/index.ts";
import type { HubContext } from "../context.ts";
import { refOf } from "../registry.ts";
import { tellSuperseded } from "../superseded.ts";
import type { Handler } from "./handler.ts";

/**
 * The attempt is over. Told again until `lease.done` answers it; the store records the first telling. Only the worker that was given
 * the attempt may tell it, over whichever connection and hub.
 */
export const onExit: Handler<"lease.exit"> = async (context, connection, message) => {
  const lease = refOf(message);
  const held = connection.heldUnder(lease);
  if (held === undefined && !(await wasGiven(context, connection.workerId, lease))) {
    tellSuperseded(context, connection, lease, message.type);
    return;
  }
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

async function wasGiven({ store }: HubContext, workerId: string, lease: LeaseRef): Promise<boolean> {
  const { attempts = [] } = (await store.jobs.get(lease.lease)) ?? {};
  return attempts.some(
    ({ attempt, epoch, workerId: given }) =>
      attempt === lease.attempt && epoch === lease.epoch && given === workerId,
  );
}
