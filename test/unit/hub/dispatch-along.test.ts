/** A job that is handed over in the turn that takes it, on a store that only notes what it is asked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import type { HubContext } from "../../../src/hub/connections/context.ts";
import type { WorkerConnection } from "../../../src/hub/connections/worker-connection.ts";
import { dispatchAlong } from "../../../src/hub/dispatch/dispatcher.ts";
import { Wake } from "../../../src/hub/dispatch/wake.ts";
import type { JobSpec } from "../../../src/protocol/index.ts";

const spec = { profile: "python", labels: {} } as unknown as JobSpec;

interface Bench {
  context: HubContext;
  wake: Wake;
  /** what the store was asked to claim, in order */
  claims: { sessionId: string; limit: number }[];
  offered: string[];
}

interface BenchOptions {
  workers: { id: string; slots: number; warm: number; profile?: string }[];
  /** what the store gives for a claim */
  gives?: () => Promise<string[]>;
}

function bench(t: { after: (end: () => void) => void }, { workers, gives }: BenchOptions): Bench {
  const wake = new Wake(() => undefined);
  const claims: Bench["claims"] = [];
  const offered: string[] = [];
  const connections = workers.map(({ id, slots, warm, profile = "python" }) => {
    let aside = 0;
    const offers = new Map<string, { timer: NodeJS.Timeout }>();
    t.after(() => offers.forEach(({ timer }) => clearTimeout(timer)));
    const fake = {
      workerId: id,
      sessionId: `session of ${id}`,
      phase: "ready",
      offers,
      channel: { send: () => offered.push(id) },
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
    const ids = await (gives?.() ?? Promise.resolve([`job_${"0".repeat(25)}${claims.length}`]));
    return ids.map((jobId) => ({ jobId, tenant: "t", spec, lease: { lease: jobId, attempt: 1, epoch: 2 } }));
  };
  const context = {
    intervals: { offerMs: 60_000 },
    wake,
    store: { leases: { claim } },
    registry: { all: () => connections, get: (id: string) => connections.find((c) => c.workerId === id) },
  } as unknown as HubContext;
  return { context, wake, claims, offered };
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
  const along = dispatchAlong(it.context, spec);
  assert.deepEqual(it.claims, [{ sessionId: "session of warm", limit: 1 }], "before anything is waited for");
  assert.equal((await along).length, 1);
  assert.deepEqual(it.offered, ["warm"]);
});

test("where no worker has room, or none the profile, the job stays in the queue", async (t) => {
  for (const worker of [
    { id: "full", slots: 0, warm: 4 },
    { id: "other", slots: 4, warm: 4, profile: "node" },
  ]) {
    const it = bench(t, { workers: [worker] });
    clear(it.wake);
    assert.deepEqual([await dispatchAlong(it.context, spec), it.claims], [[], []], worker.id);
  }
});

test("a newcomer takes nobody's turn: it is claimed along only after a look that left nobody waiting", async (t) => {
  const it = bench(t, { workers: [{ id: "w", slots: 8, warm: 8 }] });
  const claimed = async (): Promise<boolean> => (await dispatchAlong(it.context, spec)).length > 0;
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
  const ids = await Promise.all([dispatchAlong(it.context, spec), dispatchAlong(it.context, spec)]);
  assert.deepEqual([it.claims.length, ids.flat().length, it.offered.length], [1, 1, 1]);
});

test("who the store's order puts first is offered, whoever asked; the newcomer is told it was not it", async (t) => {
  const first = `job_${"1".repeat(26)}`;
  const it = bench(t, { workers: [{ id: "w", slots: 1, warm: 0 }], gives: async () => [first] });
  clear(it.wake);
  assert.deepEqual(await dispatchAlong(it.context, spec), [first]);
  const none = bench(t, { workers: [{ id: "w", slots: 1, warm: 0 }], gives: async () => [] });
  clear(none.wake);
  assert.deepEqual([await dispatchAlong(none.context, spec), none.offered], [[], []]);
});

test("a store that fails is told, and the room set aside is given back", async (t) => {
  let fails = true;
  const gives = async (): Promise<string[]> => {
    if (fails) throw new SallyportError("store_unavailable", "not now");
    return [`job_${"1".repeat(26)}`];
  };
  const it = bench(t, { workers: [{ id: "w", slots: 1, warm: 0 }], gives });
  clear(it.wake);
  await assert.rejects(dispatchAlong(it.context, spec), { code: "store_unavailable" });
  fails = false;
  assert.equal((await dispatchAlong(it.context, spec)).length, 1);
});
