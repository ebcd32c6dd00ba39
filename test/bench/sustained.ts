/** Cold jobs a second beside what raw dockerode makes, in turns of a few seconds, so that a drift of the machine meets both alike. */
import { join } from "node:path";
import Docker from "dockerode";
import { coldJob } from "./cold.ts";
import { clientOf, startRole, temporaryFolder } from "./processes.ts";
import { rawContainer } from "./raw-container.ts";
import { ratio, type Bench, type Figure } from "./report.ts";
import { closedLoop } from "./stats.ts";

const turns = 6;
const turn = { total: 20, concurrency: 4 };

export const sustained: Bench = { name: "sustained", run };

async function run(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using dev = await startRole("dev", ["--state", state.path, "--slots", "4", "--no-pool"]);
  const client = clientOf(dev.ready.url, join(state.path, "admin.key"));
  const docker = new Docker();
  const sides = { job: () => coldJob(client), raw: () => rawContainer(docker) };
  const seconds = { job: 0, raw: 0 };
  for (const side of ["job", "raw"] as const) await closedLoop({ ...turn, total: 4 }, sides[side]);
  for (let at = 0; at < turns; at += 1) {
    const order = at % 2 === 0 ? (["job", "raw"] as const) : (["raw", "job"] as const);
    for (const side of order) seconds[side] += turn.total / (await closedLoop(turn, sides[side]));
  }
  const n = turns * turn.total;
  const [jobRate, rawRate] = [n / seconds.job, n / seconds.raw];
  return [
    {
      what: "sustained cold jobs beside raw dockerode",
      value: `${jobRate.toFixed(1)}/s / ${rawRate.toFixed(1)}/s = ${ratio(jobRate / rawRate)}`,
      budget: "≥ 0.9× its rate",
      held: jobRate >= rawRate * 0.9,
      n,
      mode: `closed loop of ${turn.concurrency}, in ${turns} turns of ${turn.total} each`,
      includes: "sandboxes made, used and removed",
      raw: { jobRate, rawRate },
    },
  ];
}
