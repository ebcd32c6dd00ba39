/** Two hubs on one PostgreSQL, with workers that run nothing. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { SallyportError } from "../../src/errors.ts";
import { bytesOf, eventually, sseEvents, type SeenEvent, type TestHub } from "../helpers/hub.ts";
import { HubPair } from "../helpers/hub-pair.ts";
import { PostgresServer } from "../helpers/postgres.ts";
import { profileOffer, SimulatedWorker, steered, type SimulatedJob } from "../helpers/simulated-worker.ts";

const server = await PostgresServer.start();
after(() => server[Symbol.asyncDispose]());

function follow(hub: TestHub, id: string): Promise<Response> {
  return fetch(`${hub.url}/v1/jobs/${id}/events`, { headers: { authorization: `Bearer ${hub.adminKey}` } });
}

/** Collects events in the background; `until` resolves with the first that fits. */
function collect(response: Response): {
  events: SeenEvent[];
  all: Promise<SeenEvent[]>;
  until(wanted: (event: SeenEvent) => boolean): Promise<SeenEvent>;
} {
  const events: SeenEvent[] = [];
  const read = async (): Promise<SeenEvent[]> => {
    for await (const event of sseEvents(response)) events.push(event);
    return events;
  };
  const all = read();
  return { events, all, until: (wanted) => eventually(() => events.find(wanted)) };
}

const textOf = (events: readonly SeenEvent[]): string =>
  Buffer.concat(events.filter(({ event }) => event === "stdout").map(bytesOf)).toString();

test("a job submitted at one hub runs at the other's worker, and the first streams its output as it comes", async () => {
  await using hubs = await HubPair.start(server);
  const { a, b } = hubs;
  const { run, job: running } = steered();
  await using worker = await SimulatedWorker.start({ url: b.url, token: b.workerToken, run });
  const { id } = await a.submit();
  const seen = collect(await follow(a, id));
  const job = await running;
  job.print("stdout", "one ");
  await seen.until(() => textOf(seen.events) === "one ");
  job.print("stdout", "two");
  await seen.until(() => textOf(seen.events) === "one two");
  await job.exit({ exitCode: 3 });
  const last = (await seen.all).at(-1);
  assert.equal(last?.event, "finished");
  assert.equal(last?.data.result.exitCode, 3);
  assert.equal((await a.wait(id)).attempts[0]?.workerId, worker.workerId);
});

test("a cancel at one hub reaches the worker at the other", async () => {
  await using hubs = await HubPair.start(server);
  const { a, b } = hubs;
  const { run, job: running } = steered();
  await using _worker = await SimulatedWorker.start({
    url: b.url,
    token: b.workerToken,
    run,
    heartbeats: false,
  });
  const { id } = await a.submit();
  const job = await running;
  await eventually(async () => (await a.call(`/v1/jobs/${id}`)).json.state === "running" || undefined);
  await a.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
  assert.equal(await job.cancelled.promise, "cancelled");
});

test("a killed hub's worker goes on at the other: the job ends there, and a client of that hub misses nothing", async () => {
  await using hubs = await HubPair.start(server);
  const { a, b } = hubs;
  const { run, job: running } = steered();
  await using worker = await SimulatedWorker.start({ url: b.url, token: b.workerToken, run });
  const { id } = await a.submit();
  const seen = collect(await follow(a, id));
  const job = await running;
  job.print("stdout", "before ");
  await seen.until(() => textOf(seen.events) === "before ");
  b.hub.abort(new SallyportError("shutting_down", "killed"));
  job.print("stdout", "between ");
  const { verdicts } = await worker.connect(a.url);
  assert.deepEqual(
    verdicts.map(({ verdict }) => verdict),
    ["continue"],
  );
  job.print("stdout", "after");
  await job.exit({ exitCode: 0 });
  assert.equal(textOf(await seen.all), "before between after");
  const record = await a.wait(id);
  assert.deepEqual([record.state, record.attempts.length], ["succeeded", 1]);
});

test("a worker that leaves one hub for the other takes its stream along for readers at the first", async () => {
  await using hubs = await HubPair.start(server);
  const { a, b } = hubs;
  const { run, job: running } = steered();
  await using worker = await SimulatedWorker.start({ url: a.url, token: a.workerToken, run });
  const { id } = await a.submit();
  const seen = collect(await follow(a, id));
  const job = await running;
  job.print("stdout", "at a ");
  await seen.until(() => textOf(seen.events) === "at a ");
  worker.vanish();
  await worker.connect(b.url);
  job.print("stdout", "at b");
  await seen.until(() => textOf(seen.events) === "at a at b");
  await job.exit({ exitCode: 0 });
  assert.equal((await seen.all).at(-1)?.event, "finished");
});

test("many jobs submitted at both hubs each run once, at the workers of both", async () => {
  await using hubs = await HubPair.start(server);
  const { a, b } = hubs;
  const starts = new Map<string, number>();
  const run = async (job: SimulatedJob): Promise<void> => {
    starts.set(job.lease.lease, (starts.get(job.lease.lease) ?? 0) + 1);
    job.started();
    await job.exit({ exitCode: 0 });
  };
  const workers = await Promise.all(
    [a, b].map((hub, n) =>
      SimulatedWorker.start({
        url: hub.url,
        token: hub.workerToken,
        workerId: `w${n}`,
        profiles: [profileOffer("shell")],
        run,
      }),
    ),
  );
  await using all = new AsyncDisposableStack();
  for (const worker of workers) all.use(worker);
  const jobs = await Promise.all(Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? a : b).submit()));
  const ended = await Promise.all(jobs.map(({ id }, n) => (n % 2 === 0 ? b : a).wait(id)));
  assert.ok(ended.every(({ state, attempts }) => state === "succeeded" && attempts.length === 1));
  assert.ok(jobs.every(({ id }) => starts.get(id) === 1));
  assert.equal(new Set(ended.map(({ attempts }) => attempts[0]?.workerId)).size, 2);
});
