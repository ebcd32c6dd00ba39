/** What is said on a channel to the hub by a worker or a connector: one union of messages and one of streams per direction. */
import { z } from "zod";
import { attemptOutcomeSchema, jobSpecSchema, mcpGrant, sandboxPath, wireErrorSchema } from "./job.ts";
import { knownRoutes, offeredRoutes, tunnelReplySchema, tunnelStreamSchema } from "./tunnel.ts";

/** entries of one record; as many profiles are told of */
const mostEntries = 1_024;

/** Each entry that is wrong costs a hundred times its bytes, so their number is looked at before they are. */
function record<V extends z.ZodType>(key: z.ZodString, value: V) {
  return z
    .record(z.string(), z.unknown())
    .refine((entries) => Object.keys(entries).length <= mostEntries, `more than ${mostEntries} entries`)
    .pipe(z.record(key, value));
}

const id = z.string().min(1).max(128);
const count = z.int().min(0);

/** Names one grant of a lease. A message about another attempt or epoch changes nothing. */
export const leaseRefSchema = z.object({ lease: id, attempt: z.int().min(1), epoch: z.int().min(1) });
export type LeaseRef = z.output<typeof leaseRefSchema>;

/** `job`: one exec, then gone. `session`: a sandbox that outlives its execs. */
export const leaseKinds = ["job", "session"] as const;
export type LeaseKind = (typeof leaseKinds)[number];

/** A profile as a worker offers it to the hub. */
export const profileOfferSchema = z.object({
  name: id,
  digest: z.string().max(128),
  shape: z.string().max(32),
  image: z.string().max(256),
  runtime: z.string().max(32),
  lifecycle: z.enum(["job", "session"]),
  languages: z.array(z.string().max(32)).max(16),
  /** sizes in bytes */
  resources: z.object({
    cpus: z.number(),
    memory: count,
    pids: count,
    workspace: count,
    tmp: count,
    gpus: count,
  }),
  /** `wallClock` in `ms`, the rest in bytes */
  limits: z.object({ wallClock: count, output: count, artifacts: count }),
  mcp: z.array(mcpGrant.pick({ tools: true }).extend({ host: z.string().max(253) })).max(64),
  /** sandboxes made ahead and waiting */
  warm: count,
  /** why this worker cannot serve it */
  unusable: wireErrorSchema.nullable(),
});
export type ProfileOffer = z.output<typeof profileOfferSchema>;

/** A lease a worker still holds when it (re)connects, with the part of its log it can send again: `[from, to)`. */
export const heldLeaseSchema = leaseRefSchema.extend({ kind: z.enum(leaseKinds), from: count, to: count });
export type HeldLease = z.output<typeof heldLeaseSchema>;

export const verdictSchema = leaseRefSchema.extend({
  /** `continue`: send the log from `from` on; `kill`: stop and forget; `finished`: the result is recorded, forget */
  verdict: z.enum(["continue", "kill", "finished"]),
  from: count,
});
export type Verdict = z.output<typeof verdictSchema>;

const capacity = z.object({ slots: z.int().min(0).max(100_000), memory: count, cpus: z.number().min(0) });
const free = z.object({ slots: count, memory: count });
const warmCounts = record(z.string(), count);

export const rejectReasons = [
  "draining",
  "no_slot",
  "no_memory",
  "profile_unknown",
  "profile_unusable",
] as const;
export type RejectReason = (typeof rejectReasons)[number];

export const workerMessageSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("hello"),
    protocol: z.object({ min: z.int(), max: z.int() }),
    workerId: id,
    /** differs for every life of the worker process */
    bootId: id,
    /** as `turnOf` makes it; of builds before that, the number of this hello in that life: one that arrives behind a later one is refused */
    turn: z.int().positive().optional(),
    version: z.string().max(64),
    labels: record(z.string().max(64), z.string().max(64)),
    capacity,
    profiles: z.array(profileOfferSchema).max(1_024),
    /** what this process has upstreams for */
    routes: offeredRoutes,
    leases: z.array(heldLeaseSchema).max(10_000),
  }),
  z.object({
    type: z.literal("connector.hello"),
    protocol: z.object({ min: z.int(), max: z.int() }),
    connectorId: id,
    /** differs for every life of the connector process */
    bootId: id,
    version: z.string().max(64),
    routes: offeredRoutes,
  }),
  z.object({ type: z.literal("offer.accept"), ...leaseRefSchema.shape }),
  z.object({
    type: z.literal("offer.reject"),
    ...leaseRefSchema.shape,
    reason: z.enum(rejectReasons),
    detail: z.string().max(1_024),
  }),
  /** the command runs; `at` is wall clock in `ms` */
  z.object({ type: z.literal("lease.started"), ...leaseRefSchema.shape, at: z.number() }),
  /** sent once everything printed is acked, again until `lease.done` answers it */
  z.object({ type: z.literal("lease.exit"), ...leaseRefSchema.shape, outcome: attemptOutcomeSchema }),
  z.object({
    type: z.literal("heartbeat"),
    seq: count,
    /** `leasesHash` of what the worker holds */
    leasesHash: z.string().max(64),
    free,
    warm: warmCounts,
  }),
  /** the full list, in answer to `leases.request` */
  z.object({ type: z.literal("leases"), leases: z.array(heldLeaseSchema).max(10_000) }),
  z.object({ type: z.literal("profiles"), profiles: z.array(profileOfferSchema).max(1_024) }),
  /** replaces what the hello, or the last of these, said */
  z.object({ type: z.literal("routes"), routes: offeredRoutes }),
  z.object({ type: z.literal("draining"), held: count }),
]);
export type WorkerMessage = z.output<typeof workerMessageSchema>;

export const hubMessageSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("welcome"),
    protocol: z.int(),
    hubId: id,
    /** the worker session every lease of this worker is renewed through */
    session: id,
    intervals: z.object({
      heartbeatMs: count,
      suspectMs: count,
      leaseMs: count,
      selfStopMs: count,
      offerMs: count,
      graceMs: count,
    }),
    verdicts: z.array(verdictSchema).max(10_000),
  }),
  z.object({ type: z.literal("connector.welcome"), protocol: z.int(), hubId: id, routes: knownRoutes }),
  z.object({
    type: z.literal("offer"),
    ...leaseRefSchema.shape,
    kind: z.enum(leaseKinds),
    /** `ms` the worker has for its answer */
    acceptWithinMs: count,
    tenant: z.string().max(128),
    spec: jobSpecSchema,
  }),
  /** answers `offer.accept` once the acceptance is on disk: the command may start */
  z.object({ type: z.literal("lease.confirmed"), ...leaseRefSchema.shape }),
  z.object({
    type: z.literal("lease.cancel"),
    ...leaseRefSchema.shape,
    reason: z.enum(["cancelled", "timeout", "superseded"]),
    graceMs: count,
  }),
  /** answers `lease.exit`, and any late message about a lease with `superseded` */
  z.object({
    type: z.literal("lease.done"),
    ...leaseRefSchema.shape,
    outcome: z.enum(["recorded", "superseded"]),
  }),
  /** answers `heartbeat`: proof that the leases were renewed, and the leases whose cancel is pending */
  z.object({ type: z.literal("heartbeat.ack"), seq: count, cancelled: z.array(leaseRefSchema).max(10_000) }),
  z.object({ type: z.literal("leases.request") }),
  /** answers `leases` */
  z.object({ type: z.literal("leases.verdicts"), verdicts: z.array(verdictSchema).max(10_000) }),
  /** every route the hub knows, whoever offers it; replaces the list before it */
  z.object({ type: z.literal("routes"), routes: knownRoutes }),
  /** asks the worker to drain */
  z.object({ type: z.literal("drain"), deadlineMs: count.nullable() }),
  /** the hub leaves at `deadlineMs` from now: connect anew before that */
  z.object({ type: z.literal("go-away"), deadlineMs: count }),
]);
export type HubMessage = z.output<typeof hubMessageSchema>;

export const workerStreamSchema = z.discriminatedUnion("kind", [
  /** log records from position `from` on; a grant means committed */
  z.object({ kind: z.literal("output"), ...leaseRefSchema.shape, from: count }),
  z.object({ kind: z.literal("artifact"), ...leaseRefSchema.shape, path: sandboxPath, size: count }),
  tunnelStreamSchema,
  tunnelReplySchema,
]);
export type WorkerStream = z.output<typeof workerStreamSchema>;

export const hubStreamSchema = z.discriminatedUnion("kind", [
  /** contents of `spec.files` in order, then the stdin text */
  z.object({ kind: z.literal("inputs"), ...leaseRefSchema.shape }),
  /** what clients post to the job's stdin, as it comes */
  z.object({ kind: z.literal("stdin"), ...leaseRefSchema.shape }),
  tunnelStreamSchema,
  tunnelReplySchema,
]);
export type HubStream = z.output<typeof hubStreamSchema>;
