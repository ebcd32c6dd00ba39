import { abortable, sleep } from "../../async/index.ts";
import type { JobSpec } from "../../protocol/index.ts";
import { poolOf } from "../../store/index.ts";
import type { HubContext } from "../connections/context.ts";
import type { WorkerConnection } from "../connections/worker-connection.ts";
import { isStoreTrouble } from "../connections/persist.ts";
import { allot, leavesWaiting, type Allotment } from "./match.ts";
import { offer } from "./offer.ts";

/** wait after the store failed, `ms` */
const troubleMs = 500;

/** Gives what waits to who has room, whenever something changed, until the signal fires. */
export async function dispatchLoop(context: HubContext, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const woken = context.wake.wait();
    try {
      await dispatchOnce(context);
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
 * Claims one job of the pool a job of `spec` is put into in this very turn, when nobody waits and some worker has room: a store that commits
 * together what is asked together hands the job over with the commit that takes it. Resolves with the claimed jobs' ids, mostly
 * just that one; rejects as the store does.
 */
export async function dispatchAlong(context: HubContext, spec: JobSpec): Promise<string[]> {
  if (!context.wake.clear) return [];
  const { profile, labels } = spec;
  const coming = { pool: poolOf(spec).pool, profile, labels, queued: 1, oldestAt: 0 };
  const rooms = roomyWorkers(context).map((connection) => connection.room());
  const [allotment] = allot([coming], rooms);
  return allotment === undefined ? [] : await claimAndOffer(context, allotment);
}

/** One look at the pools and the workers: one claim per pool and worker, all in one go. */
async function dispatchOnce(context: HubContext): Promise<void> {
  if (roomyWorkers(context).length === 0) return;
  const seen = context.wake.looks();
  const pools = await context.store.leases.pools();
  const rooms = context.registry.all().map((connection) => connection.room());
  const allotments = allot(pools, rooms);
  seen(leavesWaiting(pools, rooms, allotments));
  await Promise.all(allotments.map((allotment) => claimAndOffer(context, allotment)));
}

function roomyWorkers(context: HubContext): WorkerConnection[] {
  return context.registry.all().filter((connection) => connection.freeSlots > 0);
}

/** Room is set aside from the decision on, so that nobody decides on it twice. */
async function claimAndOffer(context: HubContext, allotment: Allotment): Promise<string[]> {
  const { pool, workerId, limit, profile } = allotment;
  const connection = context.registry.get(workerId);
  if (connection === undefined) return [];
  const { sessionId } = connection;
  const aside = connection.setAside(profile, limit);
  try {
    const claims = await context.store.leases.claim({ pool, sessionId, limit, now: Date.now() });
    for (const claim of claims) await offer(context, connection, claim);
    return claims.map(({ jobId }) => jobId);
  } finally {
    aside[Symbol.dispose]();
  }
}
