import type { Client, JobRequest, JobResult } from "../../client/index.ts";

/** One thing shown: what is tried, and a check that it came out as promised. */
export interface Step {
  title: string;
  /** Throws when the promise does not hold; resolves with what was seen. */
  run(client: Client): Promise<string>;
}

export interface Ran {
  id: string;
  stdout: string;
  stderr: string;
  result: JobResult;
}

/** Submits, follows to the end, and keeps what was printed. */
export async function runJob(client: Client, request: JobRequest): Promise<Ran> {
  const job = await client.jobs.run(request);
  const [stdout, stderr]: [Uint8Array[], Uint8Array[]] = [[], []];
  for await (const event of job.events) {
    if (event.type === "stdout") stdout.push(event.bytes);
    if (event.type === "stderr") stderr.push(event.bytes);
    if (event.type !== "finished") continue;
    return { id: job.id, stdout: text(stdout), stderr: text(stderr), result: event.result };
  }
  throw new Error(`job ${job.id} ended without a result`);
}

/** `condition` must hold; `seen` says what came instead. */
export function expect(condition: boolean, what: string, seen: unknown): void {
  if (!condition) throw new Error(`expected ${what}, saw ${JSON.stringify(seen)}`);
}

export function text(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks).toString("utf8");
}
