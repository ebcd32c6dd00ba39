/** A warm job's first byte beside a bare local interpreter and `docker run`, for python alone and with numpy and pandas. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Client } from "../../src/client/index.ts";
import { clientOf, startRole, temporaryFolder } from "./processes.ts";
import { ms, type Figure } from "./report.ts";
import { sideBySide, summarise } from "./stats.ts";

const exec = promisify(execFile);
const rounds = 100;
const imports = "import numpy, pandas; print(pandas.__version__)";

export async function warm(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using dev = await startRole("dev", ["--state", state.path]);
  const client = clientOf(dev.ready.url, join(state.path, "admin.key"));
  const plain: number[] = [];
  const loaded: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    plain.push(await firstByte(client, "print(1)"));
    loaded.push(await firstByte(client, imports));
  }
  const others = await sideBySide(20, {
    bare: () => exec("python3", ["-c", "print(1)"]),
    run: () =>
      exec("docker", ["run", "--rm", "--network", "none", "sallyport/python", "python3", "-c", "print(1)"]),
    imported: () =>
      exec("docker", ["run", "--rm", "--network", "none", "sallyport/python", "python3", "-c", imports]),
  });
  const [job, big] = [summarise(plain), summarise(loaded)];
  const [bare, run, imported] = [summarise(others.bare), summarise(others.run), summarise(others.imported)];
  const how = `n=${rounds}, closed loop of one, the pool full before each; POST to the first stdout byte at the client; others n=20, whole process`;
  return [
    {
      what: "warm python job, POST to first byte",
      how,
      value: `p50 ${ms(job.p50)}, p99 ${ms(job.p99)}, max ${ms(job.max)}`,
      budget: "p50 ≤ 5 ms, p99 ≤ 40 ms",
      held: job.p50 <= 5 && job.p99 <= 40,
      raw: { job },
    },
    {
      what: "the same beside `docker run` and a bare local python3",
      how,
      value: `docker run p50 ${ms(run.p50)} = ${(run.p50 / job.p50).toFixed(0)}× ours, python3 -c p50 ${ms(bare.p50)} = ${(bare.p50 / job.p50).toFixed(1)}× ours`,
      budget: "≥ 50× faster than docker run, faster than bare python3",
      held: run.p50 >= 50 * job.p50 && bare.p50 > job.p50,
      raw: { job, run, bare },
    },
    {
      what: "warm python job with numpy and pandas imported",
      how: `${how}; beside docker run of the same image, which also pays for the container`,
      value: `p50 ${ms(big.p50)}, p99 ${ms(big.p99)}; docker run p50 ${ms(imported.p50)} = ${(imported.p50 / big.p50).toFixed(0)}× ours`,
      budget: "none here: the machine may have no local pandas to compare with",
      held: true,
      raw: { big, imported },
    },
  ];
}

/** ms from POST to the first byte; waits for the pool to be full first. Throws when the job was not warm. */
async function firstByte(client: Client, code: string): Promise<number> {
  await poolFull(client);
  const posted = performance.now();
  let taken = Number.NaN;
  for await (const event of (await client.jobs.run({ profile: "python", code })).events) {
    if (event.type === "stdout" && Number.isNaN(taken)) taken = performance.now() - posted;
    if (event.type === "finished" && !event.result.timings.warm) throw new Error("the job was not warm");
  }
  return taken;
}

export async function poolFull(client: Client): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    const [worker] = await client.workers.list();
    if ((worker?.warm["python"] ?? 0) >= 4 && worker?.held === 0) break;
    await sleep(100);
  }
  await sleep(300);
}
