/** A warm job's first byte beside a bare local interpreter and `docker run`, for python alone and with numpy and pandas. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Client } from "../../src/client/index.ts";
import { clientOf, startRole, temporaryFolder } from "./processes.ts";
import { ms, type Bench, type Figure } from "./report.ts";
import { summarise, timed, type Summary } from "./stats.ts";

const exec = promisify(execFile);
const rounds = 100;
/** `docker run` takes long: it comes once in so many rounds */
const everyNth = 5;
const imports = "import numpy, pandas; print(pandas.__version__)";
/** Inside a container of the same image: how long one more interpreter takes, from its start to its end, `ms` */
const timeInside = `import subprocess, sys, time
t = time.perf_counter()
subprocess.run(["python3", "-c", sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
print((time.perf_counter() - t) * 1000)`;

export const warm: Bench = { name: "warm", run };

async function run(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using dev = await startRole("dev", ["--state", state.path]);
  await using idle = await idleContainer();
  const client = clientOf(dev.ready.url, join(state.path, "admin.key"));
  const times = { job: [], big: [], bare: [], bareBig: [], run: [], runBig: [], exec: [] } as Record<
    string,
    number[]
  >;
  const take = async (name: string, run: () => Promise<unknown>): Promise<void> => {
    times[name]?.push(await timed(run));
  };
  for (let round = 0; round < rounds; round += 1) {
    times["job"]?.push(await firstByte(client, "print(1)"));
    times["big"]?.push(await firstByte(client, imports));
    await take("bare", () => exec("python3", ["-c", "print(1)"]));
    if (round % everyNth > 0) continue;
    times["bareBig"]?.push(await idle.time(imports));
    await take("exec", () => exec("docker", ["exec", idle.id, "python3", "-c", "print(1)"]));
    await take("run", () => dockerRun("print(1)"));
    await take("runBig", () => dockerRun(imports));
  }
  return figuresOf(Object.fromEntries(Object.entries(times).map(([name, list]) => [name, summarise(list)])));
}

function figuresOf(by: Record<string, Summary>): Figure[] {
  const none: Summary = { n: 0, p50: NaN, p99: NaN, max: NaN };
  const { job = none, big = none, bare = none, bareBig = none, run = none, runBig = none, exec = none } = by;
  const how = {
    n: job.n,
    mode: "closed loop of one, the pool full before each, the others in turn with it",
    includes: `POST to the first stdout byte at the client; python3 -c n=${bare.n}, docker and the rest n=${run.n}, whole process`,
  };
  return [
    {
      what: "warm python job, POST to first byte",
      ...how,
      value: `p50 ${ms(job.p50)}, p99 ${ms(job.p99)}, max ${ms(job.max)}`,
      budget: "p50 ≤ 5 ms, p99 ≤ 40 ms",
      held: job.p50 <= 5 && job.p99 <= 40,
      raw: { job },
    },
    {
      what: "the same beside `docker run`, `docker exec` and a bare local python3",
      ...how,
      value: `docker run p50 ${ms(run.p50)} = ${(run.p50 / job.p50).toFixed(0)}× ours, docker exec ${ms(exec.p50)} = ${(exec.p50 / job.p50).toFixed(0)}×, python3 -c ${ms(bare.p50)} = ${(bare.p50 / job.p50).toFixed(1)}×`,
      budget: "≥ 50× faster than docker run, faster than bare python3",
      held: run.p50 >= 50 * job.p50 && bare.p50 > job.p50,
      raw: { job, run, exec, bare },
    },
    {
      what: "warm python job with numpy and pandas imported",
      ...how,
      value: `p50 ${ms(big.p50)}, p99 ${ms(big.p99)}; bare python3 in the same image ${ms(bareBig.p50)} = ${(bareBig.p50 / big.p50).toFixed(0)}× ours, docker run ${ms(runBig.p50)} = ${(runBig.p50 / big.p50).toFixed(0)}×`,
      budget: "≥ 30× faster than a bare python3 importing them",
      held: bareBig.p50 >= 30 * big.p50,
      raw: { big, bareBig, runBig },
    },
  ];
}

function dockerRun(code: string): Promise<unknown> {
  return exec("docker", ["run", "--rm", "--network", "none", "sallyport/python", "python3", "-c", code]);
}

/** A container that waits, in which interpreters are started. */
async function idleContainer(): Promise<
  AsyncDisposable & { id: string; time(code: string): Promise<number> }
> {
  const id = `sallyport-bench-${process.pid}`;
  // ends with its standard input, and so with this process
  const waiting = ["run", "-i", "--rm", "--init", "--name", id, "--network", "none", "sallyport/python"];
  const child = spawn("docker", [...waiting, "sh", "-c", "echo ready; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return {
    id,
    time: async (code) =>
      Number((await exec("docker", ["exec", id, "python3", "-c", timeInside, code])).stdout),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await once(child, "exit");
    },
  };
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
