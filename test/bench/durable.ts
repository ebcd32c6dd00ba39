/** How many jobs a second one hub takes, dispatches and records, with a driver that makes nothing: on SQLite, and on PostgreSQL. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clientOf, startProgram, startRole, temporaryFolder } from "./processes.ts";
import type { Bench, Figure } from "./report.ts";
import { closedLoop } from "./stats.ts";

const noopWorker = fileURLToPath(new URL("./noop-worker.ts", import.meta.url));
const load = { total: 8_000, concurrency: 64 };
/** jobs before those: a hub runs for weeks, and the first thousands are run by code that is not compiled yet */
const warmUp = 2_500;

export const durable: Bench = {
  name: "durable",
  run: () => durableJobs({ store: "SQLite", hubArgs: [], budget: 800 }),
};

export interface DurableOptions {
  store: string;
  /** further arguments of the hub */
  hubArgs: readonly string[];
  /** jobs/s */
  budget: number;
}

export async function durableJobs({ store, hubArgs, budget }: DurableOptions): Promise<Figure[]> {
  await using state = await temporaryFolder();
  const args = ["--listen", "127.0.0.1:0", "--state", state.path, ...hubArgs];
  await using hub = await startRole("hub", args);
  const url = hub.ready.url ?? "";
  await using _worker = await startProgram(noopWorker, [url, join(state.path, "worker.token"), state.path]);
  const client = clientOf(url, join(state.path, "admin.key"));
  const once = async (): Promise<void> => {
    const job = await client.jobs.submit({ profile: "noop", command: ["true"] });
    const done = await client.jobs.get(job.id, { waitMs: 30_000 });
    if (done.state !== "succeeded") throw new Error(`a job ended as ${done.state}`);
  };
  await closedLoop({ ...load, total: warmUp }, once);
  const rate = await closedLoop(load, once);
  return [
    {
      what: `durable jobs through the hub, ${store}, no-op driver`,
      value: `${rate.toFixed(0)} jobs/s`,
      budget: `≥ ${budget} jobs/s`,
      held: rate >= budget,
      n: load.total,
      mode: `closed loop of ${load.concurrency} clients in a third process, after ${warmUp} jobs to warm up`,
      includes: "each: POST, dispatch over the channel, output and result committed, GET",
      raw: { rate },
    },
  ];
}
