/** The simulated workers of one hub, and jobs on them that wait for the test. */
import { eventually, type TestHub } from "./hub.ts";
import { SimulatedWorker, type SimulatedJob, type SimulatedWorkerOptions } from "./simulated-worker.ts";

export function workerOf(hub: TestHub, over: Partial<SimulatedWorkerOptions> = {}): Promise<SimulatedWorker> {
  return SimulatedWorker.start({ url: hub.url, token: hub.workerToken, ...over });
}

/** A worker whose jobs wait for the test. */
export function held(): { run: (job: SimulatedJob) => Promise<void>; next: () => Promise<SimulatedJob> } {
  const jobs: SimulatedJob[] = [];
  return { run: async (job) => void jobs.push(job), next: () => eventually(() => jobs.shift()) };
}

export async function workersOf(hub: TestHub): Promise<{ id: string; state: string; held: number }[]> {
  return ((await hub.call("/v1/workers")).json as unknown as { workers: [] }).workers;
}
