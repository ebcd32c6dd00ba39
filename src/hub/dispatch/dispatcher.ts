import { abortable, sleep } from "../../async/index.ts";
import type { HubContext } from "../connections/context.ts";
import type { WorkerConnection } from "../connections/worker-connection.ts";
import { isStoreTrouble } from "../connections/persist.ts";
import { allot, type Allotment } from "./match.ts";
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

/** One look at the pools and the workers: one claim per pool and worker, all in one go. */
async function dispatchOnce(context: HubContext): Promise<void> {
  if (roomyWorkers(context).length === 0) return;
  const pools = await context.store.leases.pools();
  if (pools.length === 0) return;
  const rooms = roomyWorkers(context).map((connection) => connection.room());
  await Promise.all(allot(pools, rooms).map((allotment) => claimAndOffer(context, allotment)));
}

function roomyWorkers(context: HubContext): WorkerConnection[] {
  return context.registry.all().filter((connection) => connection.freeSlots > 0);
}

async function claimAndOffer(context: HubContext, allotment: Allotment): Promise<void> {
  const { pool, workerId, limit } = allotment;
  const connection = context.registry.get(workerId);
  if (connection === undefined) return;
  const { sessionId } = connection;
  const claims = await context.store.leases.claim({ pool, sessionId, limit, now: Date.now() });
  for (const claim of claims) await offer(context, connection, claim);
}
