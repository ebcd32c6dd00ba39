/** What tests of a whole fleet share: profiles, short intervals, and waiting for jobs. */
import assert from "node:assert/strict";
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

const blocks = 300;
const blockBytes = 10_007;
const generatorCode = `
import sys, time
for at in range(${blocks}):
    sys.stdout.buffer.write(bytes((at * 31 + k * 7) % 256 for k in range(${blockBytes})))
    sys.stdout.buffer.flush()
    time.sleep(0.015)
`;

/** A job of the python profile that prints `generated` over some seconds */
export function generator(more: Partial<JobRequest> = {}): JobRequest {
  return { profile: "python", language: "python", code: generatorCode, ...more };
}

/** What it prints: no line ends, no UTF-8, no period a block of ours could share */
export function generated(): Buffer {
  const bytes = Buffer.alloc(blocks * blockBytes);
  for (let at = 0; at < bytes.length; at += 1) {
    bytes[at] = (Math.floor(at / blockBytes) * 31 + (at % blockBytes) * 7) % 256;
  }
  return bytes;
}

/** Everything a follower of the job sees, over however many connections; fails on a gap or a repetition. */
export async function follow(
  client: Client,
  id: string,
  onBytes: (total: number) => void = () => undefined,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let total = 0;
  const ids = new Set<string>();
  for await (const event of client.jobs.events(id, { patienceMs: 60_000 })) {
    assert.ok(!ids.has(event.id) || event.type === "started", `event ${event.id} came once`);
    ids.add(event.id);
    if (event.type !== "stdout") continue;
    assert.equal(event.offset, total, "output goes on where it was");
    parts.push(Buffer.from(event.bytes));
    total += event.bytes.length;
    onBytes(total);
  }
  return Buffer.concat(parts);
}
