import { steadyNow } from "../../async/index.ts";
import type { HubChannel } from "../../channel/index.ts";
import type { LeaseRef, Verdict } from "../../protocol/index.ts";
import type { HubContext } from "./context.ts";
import type { Message } from "./handlers/handler.ts";
import { sendInputs } from "./inputs.ts";
import { negotiate } from "./negotiate.ts";
import { refOf } from "./registry.ts";
import { WorkerConnection } from "./worker-connection.ts";

/**
 * Answers `hello`: settles what becomes of the leases the worker came with, and welcomes it. Throws `protocol_unsupported`, or what
 * the store throws.
 */
export async function handshake(
  context: HubContext,
  channel: HubChannel,
  hello: Message<"hello">,
): Promise<WorkerConnection> {
  const protocol = negotiate(hello.protocol);
  const { store, intervals, hubId } = context;
  const now = Date.now();
  const [{ id, verdicts }] = await Promise.all([
    store.leases.openSession({
      workerId: hello.workerId,
      bootId: hello.bootId,
      turn: hello.turn ?? 0,
      hubId,
      held: hello.leases,
      leaseUntil: steadyNow() + intervals.leaseMs,
      now,
    }),
    store.fleet.saveProfiles(hello.workerId, hello.profiles, now),
  ]);
  const connection = new WorkerConnection(
    { channel, log: context.log },
    { hello, sessionId: id, suspectMs: intervals.suspectMs },
  );
  context.live.touchAll();
  await Promise.all(verdicts.map((verdict) => takeUp(context, connection, verdict)));
  channel.send({ type: "welcome", protocol, hubId, session: id, intervals, verdicts });
  return connection;
}

/**
 * A lease that goes on is held by the new connection, with whatever it still needs. Its deadline counts anew: the start is dated by the
 * worker's clock, which says nothing here.
 */
async function takeUp(context: HubContext, connection: WorkerConnection, verdict: Verdict): Promise<void> {
  const lease: LeaseRef = refOf(verdict);
  if (verdict.verdict !== "continue") return;
  const { jobs } = context.store;
  const [record, spec] = await Promise.all([jobs.get(lease.lease), jobs.spec(lease.lease)]);
  // a hello may name a lease twice: it takes one slot all the same
  if (record === null || spec === null || connection.heldUnder(lease) !== undefined) return;
  const job = connection.hold({ lease, spec });
  job.confirmed = true;
  const startedAt = record.attempts.find((entry) => entry.attempt === lease.attempt)?.startedAt ?? null;
  if (startedAt !== null) {
    job.deadlineAt = performance.now() + spec.timeoutMs + context.intervals.graceMs;
  } else if (job.inputBytes > 0) {
    context.tasks.start("inputs", () => sendInputs(context, connection, job));
  }
}
