/** What an idle warm sandbox holds in memory for us: its PID 1. */
import Docker from "dockerode";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { residentMb } from "./memory.ts";
import { clientOf, startRole, temporaryFolder } from "./processes.ts";
import type { Bench, Figure } from "./report.ts";

export const guest: Bench = { name: "guest", run };

async function run(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using dev = await startRole("dev", ["--state", state.path]);
  const client = clientOf(dev.ready.url, join(state.path, "admin.key"));
  const docker = new Docker();
  let [worker] = await client.workers.list();
  for (let tries = 0; tries < 300 && (worker?.warm["shell"] ?? 0) < 2; tries += 1) {
    await sleep(100);
    [worker] = await client.workers.list();
  }
  const label = [`dev.sallyport.worker=${worker?.id ?? ""}`];
  const made = await docker.listContainers({ filters: { label } });
  const looked = await Promise.all(made.map(({ Id }) => docker.getContainer(Id).inspect()));
  const sizes = looked.map(({ State }) => residentMb(State.Pid)).filter((mb) => mb > 0);
  const most = Math.max(...sizes);
  return [
    {
      what: "guest of an idle warm sandbox",
      value: `at most ${most.toFixed(2)} MB resident`,
      budget: "≤ 1 MB",
      held: sizes.length > 0 && most <= 1.048576,
      n: sizes.length,
      mode: "idle",
      includes: "VmRSS of PID 1 of each, without what waits in it",
      raw: { sizes },
    },
  ];
}
