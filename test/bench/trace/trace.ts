/** `npm run bench -- --trace`: where the time of a warm python job goes between `POST` and its first byte. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Client } from "../../../src/client/index.ts";
import { asLaunched, bound, clientOf, temporaryFolder } from "../processes.ts";
import { summarise } from "../stats.ts";
import { poolFull } from "../warm.ts";
import { monotonicNs, type Mark } from "./marks.ts";

const tracedDev = fileURLToPath(new URL("./traced-dev.ts", import.meta.url));
const rounds = 60;

interface Answer {
  marks: Mark[];
  cpuMs: number;
}

export async function trace(): Promise<void> {
  await using state = await temporaryFolder();
  await using dev = await startTraced(state.path);
  const client = clientOf(dev.url, dev.keyFile);
  const runs: Mark[][] = [];
  const cpu: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    await poolFull(client);
    await dev.take();
    const own = await tracedJob(client);
    const { marks, cpuMs } = await dev.take();
    if (round === 0) continue;
    runs.push([...own, ...marks]);
    cpu.push(cpuMs);
  }
  print(runs, cpu);
}

async function tracedJob(client: Client): Promise<Mark[]> {
  const marks: Mark[] = [];
  const note = (name: string): void => void marks.push({ name, at: monotonicNs() });
  note("client: POST");
  const job = await client.jobs.run({ profile: "python", code: "print(1)" });
  note("client: reply's head read");
  for await (const event of job.events) note(`client: ${event.type} read`);
  return marks;
}

/** Each mark's first time in every run, from `POST` on, in the order of their medians. */
function print(runs: readonly Mark[][], cpu: readonly number[]): void {
  const offsets = new Map<string, number[]>();
  for (const run of runs) {
    const start = run[0]?.at ?? 0;
    const seen = new Set<string>();
    for (const { name, at } of run.toSorted((a, b) => a.at - b.at)) {
      if (seen.has(name)) continue;
      seen.add(name);
      offsets.set(name, [...(offsets.get(name) ?? []), (at - start) / 1e6]);
    }
  }
  const rows = [...offsets]
    .filter(([, times]) => times.length > runs.length / 2)
    .map(([name, times]) => ({ name, ...summarise(times) }))
    .sort((a, b) => a.p50 - b.p50);
  console.log(
    "     p50     +p50      p99   reached (ms from POST; first time each, in the order of the medians)",
  );
  let before = 0;
  for (const { name, p50, p99 } of rows) {
    const [at, step, late] = [p50, p50 - before, p99].map((ms) => ms.toFixed(2).padStart(8));
    console.log(`${at} ${step} ${late}   ${name}`);
    before = p50;
  }
  const { p50, n } = summarise(cpu);
  console.log(
    `n=${n}, closed loop of one, hub and worker in one process, which used ${p50.toFixed(1)} ms of processor time per job at p50`,
  );
}

interface Traced extends AsyncDisposable {
  url: string;
  keyFile: string;
  /** Marks since the call before */
  take(): Promise<Answer>;
}

async function startTraced(stateDir: string): Promise<Traced> {
  const child = bound(
    spawn(process.execPath, [tracedDev, stateDir], {
      stdio: ["pipe", "pipe", "inherit"],
      env: asLaunched(),
    }),
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async <T>(): Promise<T> => {
    const line = await lines.next();
    if (line.done === true) throw new Error("the traced hub and worker ended");
    return JSON.parse(line.value) as T;
  };
  const { url, keyFile } = await next<{ url: string; keyFile: string }>();
  return {
    url,
    keyFile,
    async take() {
      child.stdin.write("take\n");
      return await next<Answer>();
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
