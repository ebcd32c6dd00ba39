import { wallClock } from "../../../store/index.ts";
import { refOf } from "../registry.ts";
import { tellSuperseded } from "../superseded.ts";
import type { Handler } from "./handler.ts";

/** The job's command runs; its wall clock counts from here. */
export const onStarted: Handler<"lease.started"> = async (context, connection, message) => {
  const lease = refOf(message);
  const job = connection.heldUnder(lease);
  if (job !== undefined) job.deadlineAt = performance.now() + job.spec.timeoutMs + context.intervals.graceMs;
  const recorded =
    job === undefined
      ? "superseded"
      : await job.record(() => context.store.leases.started(lease, message.at));
  if (recorded === "superseded") {
    tellSuperseded(context, connection, lease, message.type);
    return;
  }
  const startedAt = wallClock(message.at);
  context.live.patch(lease.lease, (record) => ({
    ...record,
    state: "running",
    attempts: record.attempts.map((entry) =>
      entry.attempt === lease.attempt ? { ...entry, startedAt } : entry,
    ),
  }));
};
