/** Two hubs behind a load balancer are replaced one after the other while real workers run jobs on fake drivers. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { dialChannel, workerDialect } from "../../src/channel/index.ts";
import { createClient, type Client, type JobEvent } from "../../src/client/index.ts";
import { silentLog } from "../../src/log.ts";
import { createFakeDriver, type Driver } from "../../src/sandbox/index.ts";
import { createWorker } from "../../src/worker/index.ts";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import { eventually, type TestHub } from "../helpers/hub.ts";
import { HubPair } from "../helpers/hub-pair.ts";
import { PostgresServer } from "../helpers/postgres.ts";
import { testProfile } from "../helpers/simulated-hub.ts";

const server = await PostgresServer.start();
after(() => server[Symbol.asyncDispose]());

const workerCount = 3;
const longJobs = 9;
const submitters = 4;

/** Commands started for each job, by whatever worker. */
type Ledger = Map<string, number>;

function counting(driver: Driver, ledger: Ledger): Driver {
  return {
    name: driver.name,
    probe: (signal) => driver.probe(signal),
    prepare: (profile, signal) => driver.prepare(profile, signal),
    list: () => driver.list(),
    reap: (graceMs) => driver.reap(graceMs),
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
    create: async (spec, signal) => {
      const sandbox = await driver.create(spec, signal);
      const { guest } = sandbox;
      const exec = guest.exec.bind(guest);
      guest.exec = (command) => {
        const lease = spec.lease ?? "";
        ledger.set(lease, (ledger.get(lease) ?? 0) + 1);
        return exec(command);
      };
      return sandbox;
    },
  };
}

interface Fleet extends AsyncDisposable {
  hubs: HubPair;
  /** those connections go to, in turn */
  serving: TestHub[];
  client: Client;
  ledger: Ledger;
  /** fires with its end: nobody follows anything any more */
  over: AbortSignal;
}

async function startFleet(): Promise<Fleet> {
  await using stack = new AsyncDisposableStack();
  const hubs = stack.use(await HubPair.start(server));
  const serving = [hubs.a, hubs.b];
  let turn = 0;
  const next = (): number => Number(new URL((serving[(turn += 1) % serving.length] as TestHub).url).port);
  const balancer = stack.use(await FaultProxy.start(next));
  const dir = await mkdtemp(join(tmpdir(), "sallyport-rolling-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const ledger: Ledger = new Map();
  for (let n = 0; n < workerCount; n += 1) {
    const at = { url: balancer.url, token: hubs.a.workerToken };
    stack.use(await startWorker(at, { workerId: `w${n}`, spoolDir: join(dir, `w${n}`), ledger }));
  }
  const client = createClient({ url: balancer.url, key: hubs.a.adminKey });
  const over = new AbortController();
  stack.defer(() => over.abort());
  const owned = stack.move();
  return {
    hubs,
    serving,
    client,
    ledger,
    over: over.signal,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startWorker(
  hub: { url: string; token: string },
  { workerId, spoolDir, ledger }: { workerId: string; spoolDir: string; ledger: Ledger },
): Promise<AsyncDisposable> {
  const log = silentLog();
  const profile = testProfile("shell");
  const worker = createWorker(
    {
      driver: counting(createFakeDriver({ worker: workerId }), ledger),
      dial: (signal) => dialChannel({ ...hub, dialect: workerDialect, log, signal }),
      profiles: () => new Map([[profile.name, profile]]),
      log,
    },
    {
      workerId,
      bootId: workerId,
      version: "0",
      labels: {},
      slots: 8,
      memoryBytes: 2 ** 32,
      cpus: 2,
      spoolDir,
      pool: false,
    },
  );
  const ready = new Promise<void>((resolve) => worker.onReady(resolve));
  void worker.run();
  await ready;
  return worker;
}

/** The hub goes as SIGTERM makes it go, and another process takes its place. */
async function replace({ hubs, serving }: Fleet, old: TestHub): Promise<TestHub> {
  serving.splice(serving.indexOf(old), 1);
  await old.hub.drain(5_000);
  await old.stop();
  const fresh = await hubs.another();
  serving.push(fresh);
  const ready = async (): Promise<boolean> => {
    const { workers } = (await fresh.call("/v1/workers")).json as unknown as { workers: { state: string }[] };
    return workers.length === workerCount && workers.every(({ state }) => state === "ready");
  };
  await eventually(ready);
  return fresh;
}

/** Everything a follower saw of one job. */
interface Followed {
  id: string;
  events: Promise<JobEvent[]>;
}

async function follow(
  { client, over }: Fleet,
  request: Parameters<Client["jobs"]["run"]>[0],
): Promise<Followed> {
  const { id, events } = await client.jobs.run(request, { signal: over });
  const all = Array.fromAsync(events);
  all.catch(() => undefined);
  return { id, events: all };
}

const stdoutOf = (events: readonly JobEvent[]): string =>
  Buffer.concat(events.flatMap((event) => (event.type === "stdout" ? [event.bytes] : []))).toString();

test("hubs replaced one after the other under load: no job is lost, none runs twice, no stream has a gap", async () => {
  await using fleet = await startFleet();
  const { hubs, ledger } = fleet;
  const long = await Promise.all(
    Array.from({ length: longJobs }, () =>
      follow(fleet, { profile: "shell", command: ["cat"], stdin: { stream: true } }),
    ),
  );
  const upgrading = new AbortController();
  const load = Array.from({ length: submitters }, (_, n) =>
    keepSubmitting(fleet, `job of ${n}`, upgrading.signal),
  );
  for (const submitter of load) submitter.catch(() => undefined);
  /** each job hears it through one hub or the other, wherever its worker is */
  const say = async (text: string, at: readonly TestHub[], query = "?more"): Promise<void> => {
    const replies = await Promise.all(
      long.map(({ id }, n) =>
        (at[n % at.length] as TestHub).call(`/v1/jobs/${id}/stdin${query}`, { method: "POST", body: text }),
      ),
    );
    assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([204]));
  };
  await say("before ", [hubs.a, hubs.b]);
  const c = await replace(fleet, hubs.a);
  await say("between ", [hubs.b, c]);
  const d = await replace(fleet, hubs.b);
  await say("after", [c, d], "");
  upgrading.abort();
  const short = (await Promise.all(load)).flat();

  for (const { events } of long) assert.equal(stdoutOf(await events), "before between after");
  for (const { events, wanted } of short) assert.equal(stdoutOf(await events), `${wanted}\n`);
  for (const { id } of [...long, ...short]) {
    const { state, attempts } = await c.wait(id);
    assert.deepEqual([state, attempts.length, ledger.get(id)], ["succeeded", 1, 1]);
  }
  const all = (await d.call("/v1/jobs?limit=500")).json as unknown as { jobs: unknown[] };
  assert.equal(all.jobs.length, long.length + short.length);
});

/** One small job after the other until the signal fires. */
async function keepSubmitting(
  fleet: Fleet,
  name: string,
  signal: AbortSignal,
): Promise<(Followed & { wanted: string })[]> {
  const followed: (Followed & { wanted: string })[] = [];
  while (!signal.aborted && !fleet.over.aborted) {
    const wanted = `${name}: ${followed.length}`;
    const job = await follow(fleet, { profile: "shell", command: ["echo", wanted] });
    followed.push({ ...job, wanted });
    await job.events;
  }
  return followed;
}
