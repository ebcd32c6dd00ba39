import { sendInputs } from "../inputs.ts";
import { refOf } from "../registry.ts";
import { tellSuperseded } from "../superseded.ts";
import type { Handler } from "./handler.ts";

/** The worker took an offer. When it was taken back meanwhile the worker is told so. */
export const onAccept: Handler<"offer.accept"> = async (context, connection, message) => {
  const lease = refOf(message);
  const pending = connection.takeOffer(lease);
  if (pending === undefined) {
    if (connection.heldUnder(lease) === undefined) tellSuperseded(context, connection, lease, message.type);
    return;
  }
  const job = connection.hold(pending.claim);
  context.metrics.offerAnswered("accepted", performance.now() - pending.sentAt);
  if (pending.claim.hasInputs) context.tasks.start("inputs", () => sendInputs(context, connection, job));
  const leasedAt = Date.now();
  if ((await job.record(() => context.store.leases.accept(lease, leasedAt))) === "superseded") {
    tellSuperseded(context, connection, lease, message.type);
    return;
  }
  const { attempt, epoch } = lease;
  const unknown = { startedAt: null, finishedAt: null, reason: null, logEnd: 0 };
  context.live.patch(job.jobId, (record) => ({
    ...record,
    state: "leased",
    attempts: [...record.attempts, { attempt, epoch, workerId: connection.workerId, leasedAt, ...unknown }],
  }));
};
