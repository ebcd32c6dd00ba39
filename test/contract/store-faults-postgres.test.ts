/** What the store in a database does when the database, or the way to it, goes wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import { openPostgresStore, type Store } from "../../src/store/index.ts";
import { CommitProxy } from "../helpers/commit-proxy.ts";
import { PostgresHome } from "../helpers/postgres.ts";
import { attemptOutcome, claimOne, logPart, newJob, openSession } from "../helpers/store.ts";
import { assertKept, startWriter } from "./store-crash.ts";
import { deps, far, startHomes } from "./store-postgres-homes.ts";

const { server, newHome } = await startHomes();

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
    Array.from({ length: 16 }, (_, n) => `j${client}-${n}`),
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

test(
  "a call that loses its connection each time is given up, and the next one is served",
  { timeout: 30_000 },
  async () => {
    await using home = newHome();
    await using proxy = await CommitProxy.start(server);
    await using store = await openPostgresStore(deps, {
      url: proxy.url,
      schema: home.schema,
      patienceMs: 200,
    });
    let lost = 0;
    const loseEach = (): void =>
      proxy.killAtCommit(() => {
        lost += 1;
        loseEach();
        void server.terminate("sallyport writer");
      });
    loseEach();
    await assert.rejects(store.jobs.submit(newJob("j1")), { code: "store_unavailable", retryable: true });
    assert.ok(lost > 1, "it was tried again");
    proxy.killAtCommit(() => void server.terminate("sallyport writer"));
    assert.equal((await store.jobs.submit(newJob("j2"))).created, true);
  },
);

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
