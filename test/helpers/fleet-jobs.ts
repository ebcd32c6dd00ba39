/** What tests of a whole fleet share: profiles, short intervals, and waiting for jobs. */
import type { Client, JobRequest, JobView } from "../../src/client/index.ts";
import { eventually } from "./hub.ts";

const resources = { cpus: 1, memory: "128MiB", pids: 32, workspace: "8MiB", tmp: "8MiB" };
const limits = { wallClock: "2m", output: "64MiB", artifacts: "8MiB" };

export const shellProfile = {
  name: "shell",
  shape: "shell",
  image: "sallyport/base",
  languages: { shell: {} },
  resources,
  limits,
};

export const pythonProfile = {
  name: "python",
  shape: "interpreter",
  image: "sallyport/python",
  languages: { python: {} },
  resources,
  limits,
};

/** Leases that are over soon, so that a lost worker is noticed within seconds */
export const shortIntervals = {
  heartbeatMs: 500,
  suspectMs: 1_500,
  leaseMs: 5_000,
  selfStopMs: 4_000,
  offerMs: 3_000,
  graceMs: 1_000,
};

/** A job of the shell profile that runs this script */
export function script(text: string, more: Partial<JobRequest> = {}): JobRequest {
  return { profile: "shell", command: ["sh", "-c", text], ...more };
}

/** The job once it is over, whatever happens to the hub in between. */
export async function over(client: Client, id: string, ms = 60_000): Promise<JobView> {
  return await eventually(async () => {
    const job = await client.jobs.get(id, { waitMs: 5_000 }).catch(() => undefined);
    return job?.result ? job : undefined;
  }, ms);
}

/** Resolves once the command of the job's latest attempt runs. */
export async function started(client: Client, id: string): Promise<void> {
  await eventually(async () => (await client.jobs.get(id)).attempts.at(-1)?.startedAt, 30_000);
}

export async function stdoutOf(client: Client, id: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of await client.jobs.stdout(id)) parts.push(part);
  return Buffer.concat(parts);
}

/** `state reason` of an ended job, with the number of its attempts */
export function verdictOf({ state, result, attempts }: JobView): [string, string | undefined, number] {
  return [state, result?.reason, attempts.length];
}
