/** Hints as the payloads of notifications: ids only, each below the 8,000 bytes a payload may have. */
import { z } from "zod";
import type { Hint } from "../contract.ts";
import type { News } from "./news.ts";

const payloadBytes = 7_500;

const ref = z.object({ lease: z.string(), attempt: z.number(), epoch: z.number() });
const schema = z.object({
  /** whose news it is */
  from: z.string(),
  queued: z.boolean().optional(),
  jobs: z.array(z.string()).optional(),
  cancel: z.object({ lease: ref, sessionId: z.string(), workerId: z.string() }).optional(),
});

export function payloadsOf(from: string, news: News): string[] {
  const payloads = news.cancels.map(({ lease, sessionId, workerId }) =>
    JSON.stringify({ from, cancel: { lease, sessionId, workerId } }),
  );
  if (news.queued) payloads.push(JSON.stringify({ from, queued: true }));
  for (const jobs of inBatches([...news.jobs])) payloads.push(JSON.stringify({ from, jobs }));
  return payloads.filter((payload) => Buffer.byteLength(payload) < payloadBytes + 400);
}

/** Nothing for one's own, and for what another version says that this one does not understand. */
export function parseHint(payload: string, own: string): Hint[] {
  const parsed = schema.safeParse(jsonOf(payload));
  if (!parsed.success || parsed.data.from === own) return [];
  const { queued, jobs, cancel } = parsed.data;
  return [
    ...(queued === true ? [{ kind: "queued" } as const] : []),
    ...(jobs === undefined ? [] : [{ kind: "jobs", ids: jobs } as const]),
    ...(cancel === undefined
      ? []
      : [{ kind: "cancel", held: { ...cancel, jobId: cancel.lease.lease } } as const]),
  ];
}

function inBatches(ids: readonly string[]): string[][] {
  const batches: string[][] = [];
  let room = 0;
  for (const id of ids) {
    const size = Buffer.byteLength(JSON.stringify(id)) + 1;
    if (size > room) {
      batches.push([]);
      room = payloadBytes;
    }
    batches.at(-1)?.push(id);
    room -= size;
  }
  return batches;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
