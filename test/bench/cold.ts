/** A cold job through the whole product beside raw dockerode and `docker run` on the same image. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import Docker from "dockerode";
import type { Client } from "../../src/client/index.ts";
import { clientOf, startRole, temporaryFolder } from "./processes.ts";
import { image, rawContainer } from "./raw-container.ts";
import { ms, ratio, type Bench, type Figure } from "./report.ts";
import { sideBySide, summarise } from "./stats.ts";

const rounds = 40;

export const cold: Bench = { name: "cold", run };

async function run(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using dev = await startRole("dev", ["--state", state.path, "--slots", "4", "--no-pool"]);
  const client = clientOf(dev.ready.url, join(state.path, "admin.key"));
  const docker = new Docker();
  const samples = await sideBySide(rounds, {
    job: () => coldJob(client),
    raw: () => rawContainer(docker),
    run: () => promisify(execFile)("docker", ["run", "--rm", "--network", "none", image, "true"]),
  });
  const [job, raw, run] = [summarise(samples.job), summarise(samples.raw), summarise(samples.run)];
  const how = {
    n: rounds,
    mode: "each in turn, closed loop of one",
    includes: "POST to the recorded result with its stream ended; the other whole, with its removal",
  };
  return [
    {
      what: "cold job beside raw dockerode create+start+wait+remove",
      ...how,
      value: `p50 ${ms(job.p50)} / ${ms(raw.p50)} = ${ratio(job.p50 / raw.p50)}; p99 ${ms(job.p99)} / ${ms(raw.p99)}`,
      budget: "≤ 1.15× its time at p50",
      held: job.p50 <= raw.p50 * 1.15,
      raw: { job, raw },
    },
    {
      what: "cold job beside `docker run --rm`",
      ...how,
      value: `p50 ${ms(job.p50)} / ${ms(run.p50)} = ${ratio(job.p50 / run.p50)}; p99 ${ms(job.p99)} / ${ms(run.p99)}`,
      budget: "none; for comparison",
      held: true,
      raw: { job, run },
    },
  ];
}

/** Throws when it did not succeed. */
export async function coldJob(client: Client): Promise<void> {
  const job = await client.jobs.run({ profile: "shell", command: ["true"] });
  for await (const event of job.events) {
    if (event.type === "finished" && event.result.state !== "succeeded")
      throw new Error(JSON.stringify(event.result));
  }
}
