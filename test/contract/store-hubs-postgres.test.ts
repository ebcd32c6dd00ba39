/** Several hubs on one database: its tables, the work they share, what they hear of one another, and whose clock counts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { steadyNow, withDeadline } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import { openPostgresStore, type Hint, type Store } from "../../src/store/index.ts";
import { claimOne, leaseOne, logPart, newJob, openSession } from "../helpers/store.ts";
import { deps, far, startHomes } from "./store-postgres-homes.ts";

const { server, newHome } = await startHomes();

test("hubs that open one empty database at once find its tables made once", async () => {
  await using home = newHome();
  const options = { url: server.url, schema: home.schema };
  const stores = await Promise.all(Array.from({ length: 4 }, () => openPostgresStore(deps, options)));
  await using all = new AsyncDisposableStack();
  for (const store of stores) all.use(store);
  await Promise.all(stores.map((store, n) => store.jobs.submit(newJob(`j${n}`))));
  assert.equal((await stores[0]?.jobs.list({ limit: 9 }))?.jobs.length, 4);
});

test("tables of the next build are used, of one that left this build behind refused", async () => {
  await using home = newHome();
  await home.open();
  await server.query(`UPDATE "${home.schema}".schema_version SET version = 8, usable_by = 1`);
  await (await home.open()).check();
  await server.query(`UPDATE "${home.schema}".schema_version SET version = 9, usable_by = 9`);
  await assert.rejects(home.open(), (error) => {
    assert.ok(isError(error, "store_unavailable"));
    assert.deepEqual([error.details["schema"], error.details["known"]], [9, 7]);
    return true;
  });
});

test("a job that a hub of an earlier build put in is told with its priority and labels", async () => {
  await using home = newHome();
  const { jobs } = await home.open();
  const labels = { gpu: "a" };
  const job = newJob("j1", { idempotencyKey: "k", spec: { labels, priority: 7 } });
  const { job: made } = await jobs.submit(job);
  await server.query(`UPDATE "${home.schema}".jobs SET priority = NULL, labels = NULL`);
  assert.deepEqual(await jobs.get("j1"), made);
  assert.deepEqual((await jobs.list({ limit: 1 })).jobs, [made]);
  assert.deepEqual(await jobs.submit({ ...job, id: "j2" }), { job: made, created: false });
});

test("two hubs share the work: no job goes to both, shares are one account", async () => {
  await using home = newHome();
  const one = await home.open();
  await using two = await openPostgresStore(deps, { url: server.url, schema: home.schema });
  const at = (n: number): Store => (n % 2 === 0 ? one : two);
  const sessions = await Promise.all(
    [one, two].map((store, n) => openSession(store, { workerId: `w${n}`, leaseUntil: far })),
  );
  await Promise.all(Array.from({ length: 200 }, (_, n) => at(n).jobs.submit(newJob(`j${n}`))));
  const claims = await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      at(n).leases.claim({
        pool: "python",
        limit: 4,
        now: 1,
        sessionId: sessions[n % 2]?.id ?? "",
      }),
    ),
  );
  const ids = claims.flat().map(({ jobId }) => jobId);
  assert.equal(new Set(ids).size, ids.length);
  for (let left = ids.length; left < 200; left += 1)
    ids.push((await claimOne(one, sessions[0]?.id ?? "")).jobId);
  assert.equal(new Set(ids).size, 200);
  assert.deepEqual(await two.leases.pools(), []);
  const [share] = await server.query<{ last: number }>(
    `SELECT last_vft AS last FROM "${home.schema}".shares`,
  );
  assert.equal(share?.last, 200);
});

test("a worker that moves to another hub while the first one claims for it leaves no job behind", async () => {
  await using home = newHome();
  const one = await home.open();
  await using two = await openPostgresStore(deps, { url: server.url, schema: home.schema });
  for (let turn = 0; turn < 10; turn += 1) {
    const { id } = await openSession(one, { bootId: `b${turn}`, leaseUntil: far });
    const job = newJob(`j${turn}`);
    await one.jobs.submit(job);
    await Promise.all([
      one.leases.claim({ pool: "python", sessionId: id, limit: 1, now: 1 }),
      openSession(two, { bootId: `b${turn}`, hubId: "h2", leaseUntil: far }),
    ]);
    assert.deepEqual(
      (await two.leases.pools()).map(({ queued }) => queued),
      [1],
      "an offer that went to the session before is back in the queue",
    );
    await one.jobs.cancel(job.id, 5);
  }
});

test("another hub hears of queued work, of cancels and of jobs that changed, and of nothing of its own", async () => {
  await using home = newHome();
  const one = await home.open();
  await using two = await openPostgresStore(deps, { url: server.url, schema: home.schema });
  const heard = hearsOf(two);
  await heard.until((hint) => hint.kind === "missed");
  const own = hearsOf(one);
  const { id } = await openSession(one, { leaseUntil: far });
  const { lease } = await leaseOne(one, id, newJob("j1"));
  await heard.until((hint) => hint.kind === "queued");
  await one.log.append(lease, { from: 0, ...logPart(["stdout", "x"]) });
  await one.jobs.cancel("j1", 5);
  const cancel = await heard.until((hint) => hint.kind === "cancel");
  assert.deepEqual(cancel, {
    kind: "cancel",
    held: { lease, jobId: "j1", sessionId: id, workerId: "w1" },
  });
  await heard.until((hint) => hint.kind === "jobs" && hint.ids.includes("j1"));
  await two.jobs.submit(newJob("j2"));
  await own.until((hint) => hint.kind === "queued");
  assert.ok(own.hints.every((hint) => hint.kind !== "cancel"));
});

test("a listener whose connection is lost is told that it may have missed something", async () => {
  await using home = newHome();
  const store = await home.open();
  const heard = hearsOf(store);
  await heard.until((hint) => hint.kind === "missed");
  heard.hints.length = 0;
  await server.terminate("sallyport hints");
  await heard.until((hint) => hint.kind === "missed");
});

test("leases end by the database's clock, however wrong a hub's is", async (t) => {
  await using home = newHome();
  const right = await home.open();
  const now = performance.now.bind(performance);
  const hour = 3_600_000;
  const clock = t.mock.method(performance, "now", () => now() - hour);
  await using slow = await openPostgresStore(deps, { url: server.url, schema: home.schema });
  const { id } = await openSession(slow, { leaseUntil: steadyNow() + 30_000, now: Date.now() });
  clock.mock.restore();
  assert.deepEqual(await right.leases.expire(steadyNow()), []);
  assert.deepEqual(await right.leases.renew(id, steadyNow() + 30_000), { refs: [], cancelled: [] });
  t.mock.method(performance, "now", () => now() + hour);
  assert.deepEqual(await slow.leases.expire(steadyNow()), []);
  const [worker] = await slow.fleet.workers();
  assert.equal(worker?.sessionId, id, "a clock that runs ahead ends nobody's lease");
});

interface Heard {
  hints: Hint[];
  until(wanted: (hint: Hint) => boolean): Promise<Hint>;
}

function hearsOf(store: Store): Heard {
  const hints: Hint[] = [];
  let wake = (): void => undefined;
  store.onHint?.((hint) => {
    hints.push(hint);
    wake();
  });
  return {
    hints,
    until: async (wanted) => {
      for (;;) {
        const found = hints.find(wanted);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

test("a store that is given up at any moment after it was opened is over soon", async () => {
  await using home = newHome();
  for (let round = 0; round < 60; round += 1) {
    await home.open();
    const waitMs = (round % 20) / 2;
    const until = performance.now() + waitMs;
    while (performance.now() < until) await setImmediate();
    await withDeadline(home.crash(), 5_000, `giving it up ${waitMs} ms after it was opened`);
  }
});
