/** 200 sandboxes at once, by the product's own load test with its look for what is left behind. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { join } from "node:path";
import { asLaunched, bound, main, startRole, temporaryFolder } from "./processes.ts";
import { ms, type Bench, type Figure } from "./report.ts";

const at = 200;

/** The part of the load test's report that is used */
interface LoadReport {
  jobs: { finished: number; succeeded: number };
  latency: { total: { p50: number; p99: number; max: number } | null };
  peak: { running: number };
  leaks: {
    unchecked: string | null;
    sandboxes: number;
    volumes: number;
    networks: number;
    processes: number | null;
  };
}

export const fanout: Bench = { name: "fanout", run };

async function run(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using dev = await startRole("dev", ["--state", state.path, "--slots", String(at)]);
  const hub = ["--hub", dev.ready.url ?? "", "--key-file", join(state.path, "admin.key")];
  const load = ["--profile", "fanout", "--concurrency", String(at), "--total", String(at), "--json"];
  // each lives long enough to meet all the others
  const code = ["--language", "python", "-c", "import time; time.sleep(30)"];
  const command = [main, "loadtest", ...hub, ...load, ...code];
  const child = bound(
    spawn(process.execPath, command, { stdio: ["ignore", "pipe", "ignore"], env: asLaunched() }),
  );
  const last = (await text(child.stdout)).trimEnd().split("\n").at(-1) ?? "";
  const { jobs, latency, peak, leaks } = JSON.parse(last) as LoadReport;
  const left = leaks.sandboxes + leaks.volumes + leaks.networks + (leaks.processes ?? 0);
  const total = latency.total;
  return [
    {
      what: `${at} sandboxes at once`,
      value: `${jobs.succeeded}/${at} succeeded, ${left} left behind, ${peak.running} ran at the same time; p50 ${ms(total?.p50 ?? NaN)}, p99 ${ms(total?.p99 ?? NaN)}, max ${ms(total?.max ?? NaN)}`,
      budget: `${at}/${at}, 0 left behind; p99 reported untrimmed`,
      held: jobs.succeeded === at && left === 0 && leaks.unchecked === null,
      n: jobs.finished,
      mode: `closed loop of ${at}`,
      includes: "POST to the recorded result; each sleeps 30 s, so that all are there at once",
      raw: { jobs, latency, peak, leaks },
    },
  ];
}
