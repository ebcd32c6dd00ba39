/** A job that is offered while its claim is being committed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred, type Deferred } from "../../src/async/index.ts";
import { newJobId } from "../../src/hub/job-id.ts";
import type { NewJob, Store } from "../../src/store/index.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { SimulatedWorker, type SimulatedWorkerOptions } from "../helpers/simulated-worker.ts";
import { storeWith } from "../helpers/store.ts";

/** A hub whose store tells what was claimed only while the gate is open, and keeps what was submitted. */
class SlowClaims {
  gate: Deferred<void> = deferred();
  readonly submitted: NewJob[] = [];

  constructor() {
    this.gate.resolve();
  }

  start(): Promise<TestHub> {
    return TestHub.start({
      intervals: { heartbeatMs: 60_000, offerMs: 60_000, leaseMs: 600_000 },
      wrapStore: (store) => this.#wrap(store),
    });
  }

  /** Until the new gate opens nothing is heard of a claim. */
  shut(): void {
    this.gate = deferred();
  }

  #wrap(store: Store): Store {
    return storeWith(store, {
      jobs: {
        ...store.jobs,
        submit: (job) => {
          this.submitted.push(job);
          return store.jobs.submit(job);
        },
      },
      leases: {
        ...store.leases,
        claim: async (wanted) => {
          const claims = await store.leases.claim(wanted);
          await this.gate.promise;
          return claims;
        },
      },
    });
  }
}

/** Runs one job, after which the hub knows that nobody waits. */
async function readyWorker(
  hub: TestHub,
  over: Partial<SimulatedWorkerOptions> = {},
): Promise<SimulatedWorker> {
  const worker = await SimulatedWorker.start({ url: hub.url, token: hub.workerToken, ...over });
  await hub.wait((await hub.submit()).id);
  return worker;
}

test("a job is offered before its claim is committed, and its acceptance confirmed only after", async () => {
  const claims = new SlowClaims();
  await using hub = await claims.start();
  await using worker = await readyWorker(hub);
  claims.shut();
  const { id } = await hub.submit();
  await eventually(() => worker.of("offer").some(({ lease }) => lease === id));
  // a whole turn of the channel after the acceptance
  worker.heartbeat();
  await eventually(() => worker.of("heartbeat.ack").length > 0);
  assert.ok(!worker.of("lease.confirmed").some(({ lease }) => lease === id));
  claims.gate.resolve();
  const ended = await hub.wait(id);
  assert.deepEqual([ended.state, ended.attempts.length], ["succeeded", 1]);
});

test("an offer whose claim brings another job is withdrawn, and both jobs run once", async () => {
  const claims = new SlowClaims();
  await using hub = await claims.start();
  const runs: string[] = [];
  await using worker = await readyWorker(hub, {
    run: async (job) => {
      runs.push(job.lease.lease);
      job.started();
      await job.exit();
    },
  });
  const [earlier] = claims.submitted;
  assert.ok(earlier);
  claims.shut();
  // as another hub on the same store would, which no hint of this one tells of
  const now = earlier.now - 1;
  const unseen = { ...earlier, id: newJobId(now), now };
  await hub.store.jobs.submit(unseen);
  const { id } = await hub.submit();
  await eventually(() => worker.held.has(id));
  claims.gate.resolve();
  const ended = await Promise.all([unseen.id, id].map((job) => hub.wait(job)));
  assert.deepEqual(
    ended.map(({ state, attempts }) => [state, attempts.length]),
    [
      ["succeeded", 1],
      ["succeeded", 1],
    ],
  );
  assert.deepEqual(runs.slice(1), [unseen.id, id]);
  const withdrawn = worker.of("lease.cancel").find(({ lease }) => lease === id);
  assert.equal(withdrawn?.reason, "superseded");
  const offers = worker.of("offer").filter(({ lease }) => lease === id);
  assert.deepEqual(
    offers.map(({ epoch }) => epoch),
    [1, 2],
    "the same worker can tell the offer that holds from the one that was withdrawn",
  );
});

test("a worker that goes while its claim is being committed costs the job no attempt", async () => {
  const claims = new SlowClaims();
  await using hub = await claims.start();
  const worker = await readyWorker(hub, { workerId: "a-gone" });
  worker.offers = "silent";
  claims.shut();
  const { id } = await hub.submit();
  await eventually(() => worker.of("offer").some(({ lease }) => lease === id));
  await worker[Symbol.asyncDispose]();
  await using _other = await SimulatedWorker.start({
    url: hub.url,
    token: hub.workerToken,
    workerId: "b-there",
  });
  claims.gate.resolve();
  const ended = await hub.wait(id);
  assert.deepEqual(
    ended.attempts.map(({ attempt, workerId }) => [attempt, workerId]),
    [[1, "b-there"]],
  );
});

test("a worker that lists an accepted lease whose claim is being committed is asked again, not told to kill it", async () => {
  const claims = new SlowClaims();
  await using hub = await claims.start();
  await using worker = await readyWorker(hub);
  claims.shut();
  const { id } = await hub.submit();
  const job = await eventually(() => worker.held.get(id));
  worker.send({ type: "leases", leases: [{ ...job.lease, kind: "job", from: 0, to: 0 }] });
  worker.heartbeat();
  await eventually(() => worker.of("heartbeat.ack").length > 0);
  assert.deepEqual(worker.of("leases.verdicts"), []);
  const asked = worker.of("leases.request").length;
  claims.gate.resolve();
  assert.equal((await hub.wait(id)).state, "succeeded");
  await eventually(() => worker.of("leases.request").length > asked);
});
