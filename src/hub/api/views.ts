/** What the API shows of jobs, workers and profiles, and the schemas of it. */
import { z } from "zod";
import { jobResultSchema, jobStates, profileOfferSchema, wireErrorSchema } from "../../protocol/index.ts";
import type { JobRecord, WorkerRecord } from "../../store/index.ts";
import type { WorkerConnection } from "../connections/worker-connection.ts";

const time = z.iso.datetime();
const labels = z.record(z.string(), z.string());
const count = z.int().min(0);

export const jobViewSchema = z.object({
  id: z.string(),
  state: z.enum(jobStates),
  profile: z.string(),
  tenant: z.string(),
  createdAt: time,
  priority: z.int(),
  labels,
  cancelRequested: z.boolean(),
  attempts: z.array(
    z.object({
      attempt: z.int(),
      workerId: z.string(),
      leasedAt: time,
      startedAt: time.nullable(),
      finishedAt: time.nullable(),
      reason: z.string().nullable(),
    }),
  ),
  result: jobResultSchema.nullable(),
});
export type JobView = z.output<typeof jobViewSchema>;

export const jobPageSchema = z.object({ jobs: z.array(jobViewSchema), next: z.string().nullable() });

export const workerViewSchema = z.object({
  id: z.string(),
  bootId: z.string(),
  hubId: z.string(),
  state: z.enum(["ready", "suspect", "draining", "offline"]),
  version: z.string().nullable(),
  labels,
  capacity: z.object({ slots: count, memory: count, cpus: z.number() }).nullable(),
  free: z.object({ slots: count, memory: count }).nullable(),
  held: count,
  warm: z.record(z.string(), count),
  profiles: z.array(z.string()),
  connectedAt: time.nullable(),
  lastSeenAt: time.nullable(),
});
export type WorkerView = z.output<typeof workerViewSchema>;

export const profileViewSchema = profileOfferSchema.extend({ workers: count });
export type ProfileView = z.output<typeof profileViewSchema>;

interface TypedReply {
  content: Record<string, { schema: z.ZodType }>;
}

/** A reply that is not JSON, or not only. */
export function replyOf(types: Record<string, z.ZodType>): TypedReply {
  return { content: Object.fromEntries(Object.entries(types).map(([type, schema]) => [type, { schema }])) };
}

export const bytesReply = replyOf({ "application/octet-stream": z.unknown() });
export const eventStream = { "text/event-stream": z.string() };

export const errorSchema = z.object({ error: wireErrorSchema });

export function jobView(job: JobRecord): JobView {
  const { id, state, profile, priority, labels, tenant, cancelRequested, result } = job;
  return {
    id,
    state,
    profile,
    tenant,
    createdAt: iso(job.createdAt),
    priority,
    labels,
    cancelRequested,
    attempts: job.attempts.map(({ attempt, workerId, leasedAt, startedAt, finishedAt, reason }) => ({
      attempt,
      workerId,
      leasedAt: iso(leasedAt),
      startedAt: isoOrNull(startedAt),
      finishedAt: isoOrNull(finishedAt),
      reason,
    })),
    result,
  };
}

/** A worker connected to hub `hubId`. */
export function connectedView(connection: WorkerConnection, hubId: string): WorkerView {
  const { hello, free } = connection;
  return {
    id: hello.workerId,
    bootId: hello.bootId,
    hubId,
    state: connection.status,
    version: hello.version,
    labels: hello.labels,
    capacity: hello.capacity,
    free: { slots: free.slots, memory: free.memory },
    held: connection.held.size,
    warm: connection.warm,
    profiles: [...connection.profiles.keys()],
    connectedAt: iso(connection.connectedAt),
    lastSeenAt: iso(connection.lastSeenAt),
  };
}

/** A worker no hub that answers has; `elsewhere`: its lease is live, so one that does not answer may have it. */
export function absentView(worker: WorkerRecord, { elsewhere }: { elsewhere: boolean }): WorkerView {
  return {
    id: worker.workerId,
    bootId: worker.bootId,
    hubId: worker.hubId,
    state: elsewhere ? "ready" : "offline",
    version: null,
    labels: {},
    capacity: null,
    free: null,
    held: worker.held,
    warm: {},
    profiles: [],
    connectedAt: null,
    lastSeenAt: iso(worker.lastSeenAt),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : iso(ms);
}
