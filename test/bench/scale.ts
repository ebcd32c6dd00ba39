/** 500 workers of 16 slots on fake drivers, two hubs and one PostgreSQL, all on this host: what a fleet costs, and what bounds it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sleep } from "../../src/async/index.ts";
import type { Client } from "../../src/client/index.ts";
import { PostgresServer } from "../helpers/postgres.ts";
import { residentMb } from "./memory.ts";
import { secondsOf, secondsOfFamily, watchProcessors } from "./processor-time.ts";
import { clientOf, startProgram, startRole, temporaryFolder, type Running } from "./processes.ts";
import type { Bench, Figure } from "./report.ts";
import { figuresOf } from "./scale-figures.ts";
import { plan, type Filled, type Load } from "./scale-plan.ts";
import type { ScaleWorkers } from "./scale-workers.ts";
import { closedLoop } from "./stats.ts";

const program = fileURLToPath(new URL("./scale-workers.ts", import.meta.url));
const each = plan.workers / plan.processes;
const slots = plan.workers * plan.slots;
const fillMs = 240_000;
/** longer than filling takes */
const holdMs = 300_000;

export const scale: Bench = { name: "scale", run };

interface Site extends AsyncDisposable {
  database: PostgresServer;
  hubs: readonly Running[];
  workers: readonly Running[];
  clients: readonly Client[];
}

async function run(): Promise<Figure[]> {
  await using site = await openSite();
  const atRest = await measure(site, () => sleep(plan.idleMs));
  const restMb = workerMb(site);
  const calmJobs: number[] = [];
  await closedLoop(plan.calm, async (n) => void calmJobs.push(await queuedMs(site, n)));
  const busyJobs: number[] = [];
  let rate = 0;
  const atWork = await measure(site, async () => {
    rate = await closedLoop(plan.busy, async (n) => void busyJobs.push(await queuedMs(site, n)));
  });
  const fill = await fillSlots(site);
  return figuresOf({ atRest, atWork, restMb, calmJobs, busyJobs, rate, fill, fullMb: workerMb(site) });
}

async function openSite(): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const state = stack.use(await temporaryFolder());
  const settings = ["shared_buffers=256MB"];
  const database = stack.use(await PostgresServer.start({ fsync: true, settings }));
  const args = ["--listen", "127.0.0.1:0", "--state", state.path, "--database", database.url];
  const hubs = [stack.use(await startRole("hub", args)), stack.use(await startRole("hub", args))];
  const urls = hubs.map(({ ready }) => ready.url ?? "");
  const running: Running[] = [];
  for (let at = 0; at < plan.processes; at += 1) {
    const part: ScaleWorkers = {
      hubs: urls,
      tokenFile: join(state.path, "worker.token"),
      dir: state.path,
      first: at * each,
      count: each,
      slots: plan.slots,
    };
    running.push(stack.use(await startProgram(program, [JSON.stringify(part)])));
  }
  const clients = urls.map((url) => clientOf(url, join(state.path, "admin.key")));
  const owned = stack.move();
  return { database, hubs, workers: running, clients, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** One job through one of the hubs, in turn; how long it waited for a worker. */
async function queuedMs({ clients }: Site, n: number): Promise<number> {
  const client = clients[n % clients.length] as Client;
  const { id } = await client.jobs.submit({ profile: "noop", command: ["true"] });
  const { state, result } = await client.jobs.get(id, { waitMs: 60_000 });
  if (state !== "succeeded" || result === null) throw new Error(`a job ended as ${state}`);
  return result.timings.queuedMs;
}

/** Jobs that last, until every slot has one; then what it costs to keep them. */
async function fillSlots(site: Site): Promise<Filled> {
  const began = performance.now();
  const submit = async (n: number): Promise<void> => {
    const client = site.clients[n % site.clients.length] as Client;
    await client.jobs.submit({ profile: "noop", command: ["sleep", String(holdMs)] });
  };
  await closedLoop({ total: slots, concurrency: plan.busy.concurrency }, submit);
  let held = await heldJobs(site);
  while (held < slots && performance.now() - began < fillMs) {
    await sleep(250);
    held = await heldJobs(site);
  }
  const seconds = (performance.now() - began) / 1_000;
  return { held, seconds, load: await measure(site, () => sleep(plan.idleMs)) };
}

async function heldJobs({ clients }: Site): Promise<number> {
  const texts = await Promise.all(clients.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
  return texts.reduce((sum, text) => sum + Number(/^sallyport_held_jobs (\d+)/m.exec(text)?.[1] ?? 0), 0);
}

function workerMb(site: Site): number {
  return site.workers.reduce((sum, { pid }) => sum + residentMb(pid), 0) / plan.workers;
}

async function measure(site: Site, work: () => Promise<unknown>): Promise<Load> {
  const before = await countersOf(site.database);
  const processors = watchProcessors({
    "hub 1": () => secondsOf(site.hubs[0]?.pid ?? 0),
    "hub 2": () => secondsOf(site.hubs[1]?.pid ?? 0),
    PostgreSQL: () => secondsOfFamily(postmaster(site.database)),
    workers: () => site.workers.reduce((sum, { pid }) => sum + secondsOf(pid), 0),
    clients: () => secondsOf(process.pid),
  });
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1_000;
  const shares = processors();
  const after = await countersOf(site.database);
  const perSecond = (name: keyof Counters): number => (after[name] - before[name]) / seconds;
  return {
    shares,
    transactions: perSecond("commits"),
    rows: perSecond("rows"),
    walMb: perSecond("wal") / 1e6,
  };
}

interface Counters {
  commits: number;
  rows: number;
  /** bytes */
  wal: number;
}

async function countersOf(database: PostgresServer): Promise<Counters> {
  // sessions tell their counts about once a second
  await sleep(1_200);
  const [row] = await database.query<{ commits: string; rows: string; wal: string }>(
    `SELECT xact_commit AS commits, tup_inserted + tup_updated + tup_deleted AS rows,
            pg_current_wal_lsn() - '0/0' AS wal FROM pg_stat_database WHERE datname = current_database()`,
  );
  return { commits: Number(row?.commits), rows: Number(row?.rows), wal: Number(row?.wal) };
}

function postmaster({ dir }: PostgresServer): number {
  return Number(readFileSync(join(dir, "data/postmaster.pid"), "utf8").split("\n")[0]);
}
