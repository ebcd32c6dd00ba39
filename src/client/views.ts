/** What the hub's API answers, as zod reads it; keys a later hub adds are ignored. */
import { z } from "zod";
import { jobResultSchema, jobStates } from "../protocol/index.ts";

const labels = z.record(z.string(), z.string());
const time = z.iso.datetime();
const count = z.number().min(0);

export const jobViewSchema = z.object({
  id: z.string(),
  state: z.enum(jobStates),
  profile: z.string(),
  tenant: z.string(),
  createdAt: time,
  priority: z.number(),
  labels,
  cancelRequested: z.boolean(),
  attempts: z.array(
    z.object({
      attempt: z.number(),
      workerId: z.string(),
      leasedAt: time.nullable(),
      startedAt: time.nullable(),
      finishedAt: time.nullable(),
      reason: z.string().nullable(),
    }),
  ),
  result: jobResultSchema.nullable(),
});
export type JobView = z.output<typeof jobViewSchema>;

export const jobPageSchema = z.object({ jobs: z.array(jobViewSchema), next: z.string().nullable() });
export type JobPageView = z.output<typeof jobPageSchema>;

export const workerViewSchema = z.object({
  id: z.string(),
  bootId: z.string(),
  hubId: z.string(),
  state: z.enum(["ready", "suspect", "draining", "offline"]),
  version: z.string().nullable(),
  labels,
  /** `memory` in bytes */
  capacity: z.object({ slots: count, memory: count, cpus: count }).nullable(),
  free: z.object({ slots: count, memory: count }).nullable(),
  /** jobs it holds */
  held: count,
  /** warm sandboxes per profile */
  warm: z.record(z.string(), count),
  profiles: z.array(z.string()),
  connectedAt: time.nullable(),
  lastSeenAt: time.nullable(),
});
export type WorkerView = z.output<typeof workerViewSchema>;
export const workersSchema = z.object({ workers: z.array(workerViewSchema) });

/** A profile as workers offer it; durations in `ms`, sizes in bytes. */
export const profileViewSchema = z.looseObject({
  name: z.string(),
  digest: z.string(),
  shape: z.string(),
  image: z.string(),
  runtime: z.string(),
  lifecycle: z.string(),
  languages: z.array(z.string()),
  resources: z.object({
    cpus: count,
    memory: count,
    pids: count,
    workspace: count,
    tmp: count,
    gpus: count,
  }),
  limits: z.object({ wallClock: count, output: count, artifacts: count }),
  mcp: z.array(z.object({ host: z.string(), tools: z.array(z.string()).optional() })),
  warm: count,
  unusable: z.object({ code: z.string(), message: z.string() }).nullable(),
  /** workers online that can serve it */
  workers: count,
});
export type ProfileView = z.output<typeof profileViewSchema>;
export const profilesSchema = z.object({ profiles: z.array(profileViewSchema) });

/** A host that jobs may name in `mcp`. */
export const routeViewSchema = z.looseObject({
  host: z.string(),
  /** what a job may name instead */
  name: z.string().nullable(),
  state: z.enum(["up", "down", "unknown"]),
  /** how many offer it */
  connectors: count,
  /** what failed and why, where it is down */
  layer: z.string().nullable(),
  reason: z.string().nullable(),
  /** when it was last looked at */
  checkedAt: z.string().nullable(),
});
export type RouteView = z.output<typeof routeViewSchema>;
export const routesSchema = z.object({ routes: z.array(routeViewSchema) });

const readyNote = z.object({ code: z.string(), message: z.string() });
export const readySchema = z.object({
  ready: z.boolean(),
  /** why it is not ready */
  reasons: z.array(readyNote),
  /** what does not make it unready but is worth knowing */
  notes: z.array(readyNote).default([]),
});
export type ReadyView = z.output<typeof readySchema>;
