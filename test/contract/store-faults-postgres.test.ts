/** What the store in a database does when the database, or the way to it, goes wrong. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { deferred, steadyNow } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { openPostgresStore, type Hint, type Store } from "../../src/store/index.ts";
import { CommitProxy } from "../helpers/commit-proxy.ts";
import { PostgresHome, PostgresServer } from "../helpers/postgres.ts";
import { attemptOutcome, claimOne, leaseOne, logPart, newJob, openSession } from "../helpers/store.ts";
import { assertKept, startWriter } from "./store-crash.ts";

const server = await PostgresServer.start({ fsync: true });
after(() => server[Symbol.asyncDispose]());

const deps = { log: silentLog() };
const far = 1e12;
let homes = 0;
const newHome = (): PostgresHome => new PostgresHome(server, `faults_${(homes += 1)}`);

/** The whole way of one job; its own words, so that a repeated one would be seen. */
async function workThrough(store: Store, session: string, id: string): Promise<void> {
  await store.jobs.submit(newJob(id, { spec: { profile: id } }));
  const { lease } = await claimOne(store, session, id);
  assert.equal(await store.leases.accept(lease, 1), "recorded");
  assert.equal(await store.leases.started(lease, 2), "recorded");
  const part = logPart(["stdout", id]);
  assert.equal(await store.log.append(lease, { from: 0, ...part }), part.bytes.length);
  assert.equal((await store.leases.finish(lease, attemptOutcome(), 3)).fenced, "recorded");
}

async function assertDoneOnce(store: Store, id: string): Promise<void> {
  const job = await store.jobs.get(id);
  assert.equal(job?.state, "succeeded", id);
  assert.deepEqual(
    job.attempts.map(({ attempt, epoch }) => [attempt, epoch]),
    [[1, 2]],
    `${id}: claimed and accepted once`,
  );
}

test("connections that are ended again and again cost no call, and repeat none", async (t) => {
  await using home = newHome();
  const store = await home.open();
  const { id: session } = await openSession(store, { leaseUntil: far });
  const done = new AbortController();
  let ended = 0;
  const nemesis = async (): Promise<void> => {
    while (!done.signal.aborted) {
      ended += await server.terminate("sallyport%");
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  };
  const ids = Array.from({ length: 8 }, (_, client) =>
    Array.from({ length: 6 }, (_, n) => `j${client}-${n}`),
  );
  const clients = ids.map(async (own) => {
    for (const id of own) await workThrough(store, session, id);
  });
  await Promise.all([Promise.all(clients).finally(() => done.abort()), nemesis()]);
  for (const id of ids.flat()) await assertDoneOnce(store, id);
  assert.ok(ended > 5, `${ended} connections ended`);
  t.diagnostic(`${ended} connections ended`);
});

for (const cut of ["before", "after"] as const) {
  test(`a connection lost ${cut} the database carried a COMMIT out: each call is done once and answered`, async () => {
    await using home = newHome();
    await using proxy = await CommitProxy.start(server);
    await using store = await openPostgresStore(deps, { url: proxy.url, schema: home.schema });
    const { id: session } = await openSession(store, { leaseUntil: far });
    const job = newJob("j1", { idempotencyKey: "k", inputs: Buffer.from("in") });
    proxy.arm(cut);
    assert.equal((await store.jobs.submit(job)).created, true);
    await store.jobs.submit(newJob("j2"));
    proxy.arm(cut);
    const { lease } = await claimOne(store, session);
    assert.deepEqual(lease, { lease: "j1", attempt: 1, epoch: 2 });
    proxy.arm(cut);
    assert.equal(await store.leases.accept(lease, 5), "recorded");
    const part = logPart(["stdout", "once"]);
    proxy.arm(cut);
    assert.equal(await store.log.append(lease, { from: 0, ...part }), part.bytes.length);
    proxy.arm(cut);
    const finished = await store.leases.finish(lease, attemptOutcome(), 9);
    assert.deepEqual([finished.fenced, finished.job?.state], ["recorded", "succeeded"]);
    assert.equal(proxy.cuts, 5);
    await assertDoneOnce(store, "j1");
    assert.deepEqual(
      (await store.leases.pools()).map(({ queued }) => queued),
      [1],
      "the second job was claimed by nobody",
    );
  });
}

test("a transaction that a crash undid is not taken for the later one that was given its number", async () => {
  await using home = newHome();
  await using proxy = await CommitProxy.start(server);
  const other = await home.open();
  await using store = await openPostgresStore(deps, { url: proxy.url, schema: home.schema });

  /** Whether the number was given out again, which it is not where a part of the undone one was on disk already. */
  const crash = async (round: number): Promise<boolean> => {
    const xid = deferred<string>();
    const die = async (): Promise<void> => {
      const [own] = await server.query<{ xid: string }>(
        "SELECT backend_xid::text AS xid FROM pg_stat_activity WHERE backend_xid IS NOT NULL",
      );
      proxy.isShut = true;
      await server.stop("SIGQUIT");
      xid.resolve(own?.xid ?? assert.fail("no transaction was under way"));
    };
    proxy.killAtCommit(() => void die().catch((error: unknown) => xid.reject(error)));
    const submitted = store.jobs.submit(newJob(`undone-${round}`));
    const undone = await xid.promise;
    await server.boot();
    for (let n = 0; n < 20; n += 1) await other.jobs.submit(newJob(`later-${round}-${n}`));
    const [later] = await server.query<{ status: string }>(
      "SELECT pg_xact_status($1::text::xid8) AS status",
      [undone],
    );
    proxy.isShut = false;
    assert.equal((await submitted).created, true);
    assert.equal((await other.jobs.get(`undone-${round}`))?.state, "queued");
    return later?.status === "committed";
  };

  let rounds = 0;
  while (!(await crash(rounds))) assert.ok((rounds += 1) < 20, "no number was given out again");
});

test("a database that is started anew keeps calls waiting, and nothing is lost or done twice", async () => {
  await using home = newHome();
  const store = await home.open();
  const { id: session } = await openSession(store, { leaseUntil: far });
  const ids = Array.from({ length: 24 }, (_, n) => `j${n}`);
  const work = Promise.all(ids.map((id) => workThrough(store, session, id)));
  await server.stop("SIGQUIT");
  await server.boot();
  await work;
  for (const id of ids) await assertDoneOnce(store, id);
});

test("a database that stays away is told as such within the time calls wait, and used again once it is back", async () => {
  await using home = newHome();
  const store = await home.open({ patienceMs: 300 });
  await store.jobs.submit(newJob("j1"));
  await server.stop("SIGQUIT");
  try {
    await assert.rejects(store.jobs.submit(newJob("j2")), { code: "store_unavailable", retryable: true });
    await assert.rejects(store.jobs.get("j1"), { code: "store_unavailable" });
    await assert.rejects(store.check(), { code: "store_unavailable" });
  } finally {
    await server.boot();
  }
  await store.check();
  assert.equal((await store.jobs.get("j1"))?.state, "queued");
  assert.equal((await store.jobs.submit(newJob("j2"))).created, true);
});

test("what was acknowledged is there after every one of 6 kills, of the hub and of the database", async (t) => {
  await using home = new PostgresHome(server, "sallyport");
  let acknowledged = 0;
  for (let life = 0; life < 6; life += 1) {
    const writer = await startWriter(server.url, `l${life}`);
    const killed = writer.kill({ afterLines: 20 + ((life * 37) % 60) });
    const lines = await killed;
    if (life % 2 === 1) {
      await server.stop("SIGQUIT");
      await server.boot();
    }
    const store = await home.open();
    for (const line of lines) await assertKept(store, line.split(" "));
    acknowledged += lines.length;
    await home.close();
  }
  t.diagnostic(`${acknowledged} acknowledged operations`);
});

test("a bad value fails its own call and none of its neighbours", async () => {
  await using home = newHome();
  const store = await home.open();
  const results = await Promise.allSettled([
    store.jobs.submit(newJob("j1")),
    store.jobs.submit(newJob("j2", { idempotencyKey: "a\0b" })),
    store.jobs.submit(newJob("j3")),
  ]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  const [, bad] = results;
  assert.ok(bad?.status === "rejected" && isError(bad.reason, "request_invalid"));
  assert.equal(await store.jobs.get("j2"), null);
});

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
  await server.query(`UPDATE "${home.schema}".schema_version SET version = 5, usable_by = 1`);
  await (await home.open()).check();
  await server.query(`UPDATE "${home.schema}".schema_version SET version = 9, usable_by = 9`);
  await assert.rejects(home.open(), (error) => {
    assert.ok(isError(error, "store_unavailable"));
    assert.deepEqual([error.details["schema"], error.details["known"]], [9, 4]);
    return true;
  });
});

test("a database that takes no writes, as a standby does, is unavailable, and used once it does", async () => {
  await using home = newHome();
  const store = await home.open({ patienceMs: 200 });
  const standby = (on: boolean): Promise<unknown> =>
    server.query(`ALTER ROLE sallyport SET default_transaction_read_only = ${on ? "on" : "off"}`);
  await standby(true);
  try {
    await server.terminate("sallyport%");
    await assert.rejects(store.jobs.submit(newJob("j1")), { code: "store_unavailable", retryable: true });
  } finally {
    await server.query(
      "SET transaction_read_only = off; ALTER ROLE sallyport SET default_transaction_read_only = off",
    );
  }
  assert.equal((await store.jobs.submit(newJob("j1"))).created, true);
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
