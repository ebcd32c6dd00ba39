/** A gigabyte of one job's stdout on its way to its reader, and what that does to the memory of every process it passes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Client, JobView } from "../../src/client/index.ts";
import { PeakMemory, processorSeconds, residentMb } from "./memory.ts";
import { asLaunched, bound, clientOf, main, startRole, temporaryFolder } from "./processes.ts";
import type { Bench, Figure } from "./report.ts";

const shipped = fileURLToPath(new URL("../../sandbox-profiles/shell.json", import.meta.url));
const rawReader = fileURLToPath(new URL("./stream-reader.ts", import.meta.url));
const bytes = 1_000_000_000;
/** Before it prints, the program is silent, so that what an idle client holds can be read. */
const silentMs = 3_000;
const command = ["sh", "-c", `sleep ${silentMs / 1_000}; head -c ${bytes} /dev/zero`];
const budget = { mbPerSecond: 100, growthMb: 64 };

interface Fleet {
  client: Client;
  pids: { hub: number; worker: number };
  /** MB each held before its first job */
  idle: { hub: number; worker: number };
}

export const stream: Bench = { name: "stream", run };

async function run(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using hub = await startRole("hub", ["--listen", "127.0.0.1:0", "--state", state.path]);
  const url = hub.ready.url ?? "";
  const keyFile = join(state.path, "admin.key");
  const access = ["--hub", url, "--token-file", join(state.path, "worker.token")];
  const own = ["--state", join(state.path, "worker"), "--profiles", await profileFolder(state.path)];
  await using worker = await startRole("worker", access.concat(own));
  await sleep(silentMs);
  const fleet: Fleet = {
    client: clientOf(url, keyFile),
    pids: { hub: hub.pid, worker: worker.pid },
    idle: { hub: residentMb(hub.pid), worker: residentMb(worker.pid) },
  };
  const run = ["run", "--profile", "shell", "--hub", url, "--key-file", keyFile, "--", ...command];
  return [
    ...(await measure(fleet, "nobody reading")),
    ...(await measure(fleet, "a client reading raw bytes", [rawReader, url, keyFile, ...command])),
    ...(await measure(fleet, "`sallyport run`", [main, ...run])),
  ];
}

/** The shipped profile, but for a limit above the gigabyte and sandboxes that wait. */
async function profileFolder(state: string): Promise<string> {
  const folder = join(state, "profiles");
  const profile = JSON.parse(await readFile(shipped, "utf8")) as {
    limits: Record<string, unknown>;
    pool: Record<string, unknown>;
  };
  profile.limits["output"] = "2GiB";
  profile.pool["warm"] = 0;
  await mkdir(folder);
  await writeFile(join(folder, "shell.json"), JSON.stringify(profile));
  return folder;
}

/** One gigabyte; `args` start the client that submits and reads it. */
async function measure(fleet: Fleet, reader: string, args?: readonly string[]): Promise<Figure[]> {
  const { client, pids, idle } = fleet;
  const reading = args === undefined ? undefined : startReader(args);
  using peak = new PeakMemory([...Object.values(pids), ...(reading === undefined ? [] : [reading.pid])]);
  const used = (): number[] => [pids.hub, pids.worker].map(processorSeconds);
  const [hubBefore = 0, workerBefore = 0] = used();
  if (reading === undefined) await client.jobs.submit({ profile: "shell", command });
  await sleep(silentMs / 2);
  const clientIdle = reading === undefined ? 0 : residentMb(reading.pid);
  const readBy = await reading?.over;
  const result = await resultOf(client);
  if (readBy?.bytes !== undefined && readBy.bytes !== bytes)
    throw new Error(`${reader} got ${readBy.bytes} bytes`);
  const [hubAfter = 0, workerAfter = 0] = used();
  const cpu = { hub: hubAfter - hubBefore, worker: workerAfter - workerBefore };
  const began = Date.parse(result.startedAt ?? "") + silentMs;
  const mbPerSecond = bytes / 1e3 / ((readBy?.at ?? Date.parse(result.finishedAt)) - began);
  const growth = {
    hub: peak.of(pids.hub) - idle.hub,
    worker: peak.of(pids.worker) - idle.worker,
    ...(reading !== undefined && { client: peak.of(reading.pid) - clientIdle }),
  };
  return [
    {
      what: `1 GB of stdout end to end, ${reader}`,
      value: `${mbPerSecond.toFixed(0)} MB/s; processor time: hub ${cpu.hub.toFixed(1)} s, worker ${cpu.worker.toFixed(1)} s`,
      budget: `≥ ${budget.mbPerSecond} MB/s`,
      held: mbPerSecond >= budget.mbPerSecond,
      n: 1,
      mode: "one job",
      includes:
        "the first byte printed to all of it committed and read; zeros through a sandbox, a worker and a hub as processes",
      raw: { mbPerSecond, cpu },
    },
    {
      what: `memory 1 GB of stdout adds, ${reader}`,
      value: Object.entries(growth)
        .map(([name, mb]) => `${name} +${mb.toFixed(0)} MB`)
        .join(", "),
      budget: `≤ ${budget.growthMb} MB each`,
      held: Object.values(growth).every((mb) => mb <= budget.growthMb),
      n: 1,
      mode: "one job",
      includes: "the most each process held, sampled every 50 ms, above what it held idle after its start",
      raw: { growth, idle: { ...idle, client: clientIdle } },
    },
  ];
}

interface Reading {
  pid: number;
  /** how many bytes it got, and when it had exited, wall clock `ms` */
  over: Promise<{ bytes: number; at: number }>;
}

/** The raw reader prints how many bytes it got; `run` prints the bytes. */
function startReader(args: readonly string[]): Reading {
  const child = bound(
    spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], env: asLaunched() }),
  );
  let printed = 0;
  let head = "";
  child.stdout.on("data", (chunk: Buffer) => {
    printed += chunk.length;
    if (head.length < 16) head += chunk.subarray(0, 16).toString("latin1");
  });
  const over = once(child, "close").then(() => {
    return { bytes: printed > 16 ? printed : Number(head), at: Date.now() };
  });
  return { pid: child.pid ?? 0, over };
}

/** Of the latest job, once it is over. */
async function resultOf(client: Client): Promise<NonNullable<JobView["result"]>> {
  const [latest] = (await client.jobs.list({ limit: 1 })).jobs;
  let job = latest;
  while (job !== undefined && job.result === null) job = await client.jobs.get(job.id, { waitMs: 30_000 });
  const result = job?.result;
  if (result?.state !== "succeeded" || result.output.stdoutBytes !== bytes) {
    throw new Error(`the job ended as ${JSON.stringify(result)}`);
  }
  return result;
}
