/** How many jobs a second one hub takes, dispatches and records on SQLite, with a driver that makes nothing. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clientOf, startProgram, startRole, temporaryFolder } from "./processes.ts";
import type { Bench, Figure } from "./report.ts";
import { closedLoop } from "./stats.ts";

const noopWorker = fileURLToPath(new URL("./noop-worker.ts", import.meta.url));
const load = { total: 8_000, concurrency: 64 };

export const durable: Bench = { name: "durable", run };

async function run(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using hub = await startRole("hub", ["--listen", "127.0.0.1:0", "--state", state.path]);
  const url = hub.ready.url ?? "";
  await using _worker = await startProgram(noopWorker, [url, join(state.path, "worker.token"), state.path]);
  const client = clientOf(url, join(state.path, "admin.key"));
  const once = async (): Promise<void> => {
    const job = await client.jobs.submit({ profile: "noop", command: ["true"] });
    const done = await client.jobs.get(job.id, { waitMs: 30_000 });
    if (done.state !== "succeeded") throw new Error(`a job ended as ${done.state}`);
  };
  await closedLoop({ ...load, total: 500 }, once);
  const rate = await closedLoop(load, once);
  return [
    {
      what: "durable jobs through the hub, SQLite, no-op driver",
      value: `${rate.toFixed(0)} jobs/s`,
      budget: "≥ 800 jobs/s",
      held: rate >= 800,
      n: load.total,
      mode: `closed loop of ${load.concurrency} clients in a third process`,
      includes: "each: POST, dispatch over the channel, output and result committed, GET",
      raw: { rate },
    },
  ];
}
