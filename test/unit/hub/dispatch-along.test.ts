/** A job that is handed over in the turn that takes it, on a store that only notes what it is asked. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import type { HubContext } from "../../../src/hub/connections/context.ts";
import type { WorkerConnection } from "../../../src/hub/connections/worker-connection.ts";
import { dispatchAlong } from "../../../src/hub/dispatch/dispatcher.ts";
import { Wake } from "../../../src/hub/dispatch/wake.ts";
import type { JobSpec, LeaseRef } from "../../../src/protocol/index.ts";
import type { NewJob } from "../../../src/store/index.ts";

const spec = { profile: "python", labels: {} } as unknown as JobSpec;
const first = `job_${"1".repeat(26)}`;

function newJob(id = `job_${"0".repeat(26)}`): NewJob {
  return { id, tenant: { id: "t", weight: 1 }, spec, inputs: null } as unknown as NewJob;
}

interface Bench {
  context: HubContext;
  wake: Wake;
  /** what the store was asked to claim, in order */
  claims: { sessionId: string; limit: number }[];
  /** who was sent what, in order */
  sent: string[];
}

interface BenchOptions {
  workers: { id: string; slots: number; warm: number; profile?: string }[];
  /** what the store gives for a claim */
  gives?: () => Promise<string[]>;
}

function bench(t: { after: (end: () => void) => void }, { workers, gives }: BenchOptions): Bench {
  const wake = new Wake(() => undefined);
  const claims: Bench["claims"] = [];
  const sent: string[] = [];
  const connections = workers.map(({ id, slots, warm, profile = "python" }) => {
    let aside = 0;
    const offers = new Map<string, { timer: NodeJS.Timeout }>();
    t.after(() => offers.forEach(({ timer }) => clearTimeout(timer)));
    const fake = {
      workerId: id,
      sessionId: `session of ${id}`,
      phase: "ready",
      offers,
      channel: { send: (message: { type: string }) => sent.push(`${message.type} ${id}`) },
      awaitAnswer: (offer: { claim: { jobId: string }; timer: NodeJS.Timeout }) =>
        offers.set(offer.claim.jobId, offer),
      takeOffer: ({ lease }: LeaseRef) => {
        clearTimeout(offers.get(lease)?.timer);
        return offers.delete(lease) ? {} : undefined;
      },
      letGo: () => false,
      get freeSlots() {
        return slots - aside - offers.size;
      },
      room: () => ({
        workerId: id,
        labels: {},
        slots: slots - aside - offers.size,
        totalSlots: 8,
        memory: 1_000,
        profiles: new Map([[profile, { memory: 1, warm }]]),
      }),
      setAside: (_profile: string, count: number) => {
        aside += count;
        return { [Symbol.dispose]: () => void (aside -= count) };
      },
    };
    return fake as unknown as WorkerConnection;
  });
  const claim = async ({ sessionId, limit }: Bench["claims"][number]): Promise<unknown[]> => {
    claims.push({ sessionId, limit });
    const ids = await (gives?.() ?? Promise.resolve([newJob().id]));
    return ids.map((jobId) => ({ jobId, tenant: "t", spec, lease: { lease: jobId, attempt: 1, epoch: 1 } }));
  };
  const context = {
    intervals: { offerMs: 60_000, graceMs: 0 },
    metrics: { dispatched: () => undefined },
    wake,
    store: { leases: { claim } },
    registry: { all: () => connections, get: (id: string) => connections.find((c) => c.workerId === id) },
  } as unknown as HubContext;
  return { context, wake, claims, sent };
}

/** A look that finds nobody left waiting. */
const clear = (wake: Wake): void => wake.looks()(false);

test("a job that comes while nobody waits is claimed in the turn of the call, for the worker with a warm sandbox", async (t) => {
  const workers = [
    { id: "idle", slots: 8, warm: 0 },
    { id: "warm", slots: 1, warm: 1 },
  ];
  const it = bench(t, { workers });
  clear(it.wake);
  const along = dispatchAlong(it.context, newJob());
  assert.deepEqual(it.claims, [{ sessionId: "session of warm", limit: 1 }], "before anything is waited for");
  assert.deepEqual(it.sent, ["offer warm"], "and offered while the store commits");
  assert.equal(await along, true);
  assert.deepEqual(it.sent, ["offer warm"]);
});

test("where no worker has room, or none the profile, the job stays in the queue", async (t) => {
  for (const worker of [
    { id: "full", slots: 0, warm: 4 },
    { id: "other", slots: 4, warm: 4, profile: "node" },
  ]) {
    const it = bench(t, { workers: [worker] });
    clear(it.wake);
    assert.deepEqual([await dispatchAlong(it.context, newJob()), it.claims], [false, []], worker.id);
  }
});

test("a newcomer takes nobody's turn: it is claimed along only after a look that left nobody waiting", async (t) => {
  let id = "";
  const it = bench(t, { workers: [{ id: "w", slots: 8, warm: 8 }], gives: async () => [id] });
  const claimed = (): Promise<boolean> => dispatchAlong(it.context, newJob((id = `job_${randomUUID()}`)));
  assert.equal(await claimed(), false, "nobody has looked yet");
  it.wake.looks()(true);
  assert.equal(await claimed(), false, "somebody was left");
  clear(it.wake);
  assert.equal(await claimed(), true);
  for (const reason of ["job queued", "offer returned"] as const) {
    clear(it.wake);
    it.wake.because(reason);
    assert.equal(await claimed(), false, reason);
    const seen = it.wake.looks();
    it.wake.because(reason);
    seen(false);
    assert.equal(await claimed(), false, `${reason} during the look`);
  }
  clear(it.wake);
  it.wake.because("slot free");
  assert.equal(await claimed(), true, "a free slot brings nobody who waits");
});

test("two that come in one turn share no slot", async (t) => {
  const it = bench(t, { workers: [{ id: "w", slots: 1, warm: 8 }] });
  clear(it.wake);
  const given = await Promise.all([newJob(), newJob(first)].map((job) => dispatchAlong(it.context, job)));
  assert.deepEqual([it.claims.length, given, it.sent], [1, [true, false], ["offer w"]]);
});

test("who the store's order puts first is offered, whoever asked; the newcomer's offer is withdrawn", async (t) => {
  const it = bench(t, { workers: [{ id: "w", slots: 1, warm: 0 }], gives: async () => [first] });
  clear(it.wake);
  assert.equal(await dispatchAlong(it.context, newJob()), false);
  assert.deepEqual(it.sent, ["offer w", "lease.cancel w", "offer w"]);
  const none = bench(t, { workers: [{ id: "w", slots: 1, warm: 0 }], gives: async () => [] });
  clear(none.wake);
  assert.equal(await dispatchAlong(none.context, newJob()), false);
  assert.deepEqual(none.sent, ["offer w", "lease.cancel w"]);
});

test("a store that fails is told, and the offer ahead of it withdrawn, so that its room is free again", async (t) => {
  let fails = true;
  const gives = async (): Promise<string[]> => {
    if (fails) throw new SallyportError("store_unavailable", "not now");
    return [newJob().id];
  };
  const it = bench(t, { workers: [{ id: "w", slots: 1, warm: 0 }], gives });
  clear(it.wake);
  await assert.rejects(dispatchAlong(it.context, newJob()), { code: "store_unavailable" });
  assert.deepEqual(it.sent, ["offer w", "lease.cancel w"]);
  fails = false;
  assert.equal(await dispatchAlong(it.context, newJob()), true);
});
