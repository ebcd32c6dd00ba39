import { sendInputs } from "../inputs.ts";
import type { AttemptRecord, JobRecord } from "../../../store/index.ts";
import { refOf } from "../registry.ts";
import { tellSuperseded } from "../superseded.ts";
import type { Handler } from "./handler.ts";

/**
 * The worker took an offer. Once the job is its own in the store it is told that it was heard in time, and may start the command:
 * nobody else gets the job meanwhile, since only this connection takes the offer back, and a store left with an open offer by a
 * hub that died counts it as accepted.
 */
export const onAccept: Handler<"offer.accept"> = async (context, connection, message) => {
  const lease = refOf(message);
  const { hasEnough } = connection;
  const pending = connection.takeOffer(lease);
  if (pending === undefined) {
    if (connection.heldUnder(lease) === undefined) tellSuperseded(context, connection, lease, message.type);
    return;
  }
  const job = connection.hold(pending.claim);
  if (hasEnough && !connection.hasEnough) context.wake.because("offer answered");
  const leasedAt = Date.now();
  const accepting = job.record(async () =>
    (await pending.granted) ? await context.store.leases.accept(lease, leasedAt) : "superseded",
  );
  if (!(await pending.granted)) return;
  job.confirmed = true;
  connection.channel.send({ type: "lease.confirmed", ...lease });
  context.metrics.offerAnswered("accepted", performance.now() - pending.sentAt);
  if (job.inputBytes > 0) context.tasks.start("inputs", () => sendInputs(context, connection, job));
  const leased = withAttempt({ ...lease, workerId: connection.workerId, leasedAt });
  context.live.patch(job.jobId, leased);
  if ((await accepting) === "superseded") {
    context.live.touch(job.jobId);
    tellSuperseded(context, connection, lease, message.type);
    return;
  }
  context.live.patch(job.jobId, leased);
};

/** Readers learn of the attempt at once, as they do of its output; and again for those who asked the store meanwhile. */
function withAttempt(
  accepted: Pick<AttemptRecord, "attempt" | "epoch" | "workerId" | "leasedAt">,
): (record: JobRecord) => JobRecord {
  const { attempt, epoch, workerId, leasedAt } = accepted;
  const unknown = { startedAt: null, finishedAt: null, reason: null, logEnd: 0 };
  const added: AttemptRecord = { attempt, epoch, workerId, leasedAt, ...unknown };
  return (record) =>
    record.result !== null || record.attempts.some((known) => known.attempt >= attempt)
      ? record
      : { ...record, state: "leased", attempts: [...record.attempts, added] };
}
