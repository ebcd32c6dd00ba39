/** Two hubs on one database that look for leases that are over at the same time. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { silentLog } from "../../src/log.ts";
import { openPostgresStore, type Store } from "../../src/store/index.ts";
import { PostgresHome, PostgresServer } from "../helpers/postgres.ts";
import { leaseOne, newJob, openSession } from "../helpers/store.ts";

const server = await PostgresServer.start();
after(() => server[Symbol.asyncDispose]());

const leaseUntil = 10_000;
const over = 20_000;

async function sessionOf(store: Store, workerId: string): Promise<string> {
  return (await openSession(store, { workerId, bootId: workerId, leaseUntil })).id;
}

test(
  "a worker another hub is at is passed over and not waited for, and its turn comes later",
  { timeout: 10_000 },
  async () => {
    await using home = new PostgresHome(server, "expiry_held");
    const store = await home.open();
    for (const n of [1, 2]) await leaseOne(store, await sessionOf(store, `w${n}`), newJob(`j${n}`));
    {
      await using _other = await server.hold(
        `SELECT FROM "${home.schema}".workers WHERE worker_id = 'w1' FOR UPDATE`,
      );
      assert.deepEqual(await store.leases.expire(over), [{ jobId: "j2", requeued: false }]);
      assert.equal((await store.jobs.get("j1"))?.result, null);
    }
    assert.deepEqual(await store.leases.expire(over), [{ jobId: "j1", requeued: false }]);
  },
);

test("leases that two hubs end at once are each ended by one of them", { timeout: 20_000 }, async () => {
  await using home = new PostgresHome(server, "expiry_both");
  const one = await home.open();
  await using two = await openPostgresStore({ log: silentLog() }, { url: server.url, schema: home.schema });
  for (let round = 0; round < 20; round += 1) {
    const jobs = await leaseSome(one, two, `r${round}`);
    const ended = (await Promise.all([one, two].map((store) => store.leases.expire(over)))).flat();
    assert.deepEqual(ended.map(({ jobId }) => jobId).sort(), jobs.sort(), "each once, none left out");
    for (const { jobId, requeued } of ended) {
      const job = await two.jobs.get(jobId);
      const seen = [job?.state, job?.attempts.map(({ reason }) => reason)];
      assert.deepEqual(seen, [requeued ? "queued" : "lost", ["worker_lost"]]);
    }
    const back = ended.flatMap(({ jobId, requeued }) => (requeued ? [jobId] : []));
    assert.deepEqual((await claimAll(two, `r${round}`)).sort(), back.sort());
  }
});

/** Four workers, at both hubs, each with a job that may be retried and one that may not. */
async function leaseSome(one: Store, two: Store, name: string): Promise<string[]> {
  const ids: string[] = [];
  for (const n of [1, 2, 3, 4]) {
    const session = await sessionOf(n % 2 === 0 ? one : two, `w${n}`);
    for (const maxAttempts of [1, 2]) {
      const id = `${name}-${n}-${maxAttempts}`;
      await leaseOne(one, session, newJob(id, { spec: { maxAttempts } }));
      ids.push(id);
    }
  }
  return ids;
}

/** What waits, as a worker of its own takes it. */
async function claimAll(store: Store, workerId: string): Promise<string[]> {
  const { id } = await openSession(store, { workerId, bootId: workerId, leaseUntil: 1e12 });
  const claims = await store.leases.claim({ pool: "python", sessionId: id, limit: 100, now: 2_000 });
  return claims.map(({ jobId }) => jobId);
}
