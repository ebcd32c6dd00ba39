import { abortable, sleep } from "../../async/index.ts";
import { sameLease } from "../../protocol/index.ts";
import { poolOf, type Claim, type ClaimRequest, type NewJob } from "../../store/index.ts";
import type { HubContext } from "../connections/context.ts";
import type { WorkerConnection } from "../connections/worker-connection.ts";
import { isStoreTrouble } from "../connections/persist.ts";
import { allot, leavesWaiting, type Allotment } from "./match.ts";
import { offer, offerAhead } from "./offer.ts";
import { PoolTurns } from "./pool-turns.ts";

/** wait after the store failed, `ms` */
const troubleMs = 500;

/** Gives what waits to who has room, whenever something changed, until the signal fires. */
export async function dispatchLoop(context: HubContext, signal: AbortSignal): Promise<void> {
  const turns = new PoolTurns();
  while (!signal.aborted) {
    const woken = context.wake.wait();
    try {
      await dispatchOnce(context, turns);
      await abortable(woken, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (isStoreTrouble(error)) context.log.warn({ err: error }, "dispatch waits for the store");
      else context.log.error({ err: error }, "dispatch failed");
      await sleep(troubleMs, signal).catch(() => undefined);
    }
  }
}

/**
 * Hands a job over that is submitted in this very turn, when nobody waits and some worker has room: it is claimed along, by the same
 * commit where the store commits together what is asked together, and offered meanwhile. Resolves with whether this job was
 * claimed; another that was claimed in its place is offered as any other. Rejects as the store does.
 */
export async function dispatchAlong(context: HubContext, { id, tenant, spec }: NewJob): Promise<boolean> {
  if (!context.wake.clear) return false;
  const { profile, labels } = spec;
  const coming = { pool: poolOf(spec).pool, profile, labels, queued: 1, oldestAt: 0 };
  const rooms = roomyWorkers(context).map((connection) => connection.room());
  const [allotment] = allot([coming], rooms);
  const connection = allotment && context.registry.get(allotment.workerId);
  if (connection === undefined) return false;
  const claiming = claim(context, connection, { pool: coming.pool, limit: 1, along: id });
  const lease = { lease: id, attempt: 1, epoch: 1 };
  const granted = claiming.then(
    (claims) => claims.some((claim) => sameLease(claim.lease, lease)),
    () => false,
  );
  const specBytes = Buffer.byteLength(JSON.stringify(spec));
  const foreseen = { lease, jobId: id, tenant: tenant.id, spec, specBytes };
  await offerAhead(context, connection, { claim: foreseen, granted });
  for (const claim of await claiming) {
    if (!sameLease(claim.lease, lease)) await offer(context, connection, claim);
  }
  return await granted;
}

/** One look at the pools and the workers: one claim per pool and worker, all in one go. */
async function dispatchOnce(context: HubContext, turns: PoolTurns): Promise<void> {
  if (roomyWorkers(context).length === 0) return;
  const seen = context.wake.looks();
  const pools = turns.inOrder(await context.store.leases.pools());
  const rooms = context.registry.all().map((connection) => connection.room());
  const allotments = allot(pools, rooms);
  turns.given(allotments);
  seen(leavesWaiting(pools, rooms, allotments));
  await Promise.all(allotments.map((allotment) => claimAndOffer(context, allotment)));
}

function roomyWorkers(context: HubContext): WorkerConnection[] {
  return context.registry.all().filter((connection) => connection.freeSlots > 0);
}

/** Room is set aside from the decision on, so that nobody decides on it twice. */
async function claimAndOffer(context: HubContext, allotment: Allotment): Promise<void> {
  const { pool, workerId, limit, profile } = allotment;
  const connection = context.registry.get(workerId);
  if (connection === undefined) return;
  using _aside = connection.setAside(profile, limit);
  for (const claimed of await claim(context, connection, { pool, limit })) {
    await offer(context, connection, claimed);
  }
}

function claim(
  context: HubContext,
  { sessionId }: WorkerConnection,
  wanted: Pick<ClaimRequest, "pool" | "limit" | "along">,
): Promise<Claim[]> {
  return context.store.leases.claim({ ...wanted, sessionId, now: Date.now() });
}
