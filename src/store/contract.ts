/**
 * What any engine that keeps jobs promises. Every call that changes something resolves only when the change is on disk,
 * and changes all of its rows or none. One compare-and-set per job decides its terminal state.
 *
 * A job: `queued` → `offered` (claimed, epoch + 1) → `leased` (accepted, attempt + 1) → `running` → terminal.
 * Back to `queued`: an offer nobody accepted (no attempt is spent), a lost or never started attempt that may be retried.
 */
import type {
  Artifact,
  AttemptOutcome,
  HeldLease,
  JobResult,
  JobSpec,
  JobState,
  LeaseRef,
  ProfileOffer,
  Verdict,
} from "../protocol/index.ts";

export interface Store extends AsyncDisposable {
  readonly jobs: JobStore;
  readonly leases: LeaseStore;
  readonly log: LogStore;
  readonly fleet: FleetStore;
  /** Where hubs on the same store find each other. Absent where only one process can have the store. */
  readonly hubs?: HubDirectory;
  /** Throws `store_unavailable` or `store_full` when it could not take a job right now. */
  check(): Promise<void>;
  /** Deletes terminal jobs that finished before `before` (wall clock `ms`), with logs and artifacts; returns how many. */
  prune(before: number): Promise<number>;
  /**
   * Tells what other processes on the same store changed, which a caller cannot know by itself. Hints come late, twice or not at all:
   * nothing may depend on one. Absent where only one process can have the store. Dispose what it returns.
   */
  onHint?(listener: (hint: Hint) => void): Disposable;
}

/** Ids only; what there is to know of them is in the store. */
export type Hint =
  /** jobs wait that did not before */
  | { kind: "queued" }
  /** a job this session holds is to be cancelled */
  | { kind: "cancel"; held: HeldBy }
  /** records or logs of these jobs changed */
  | { kind: "jobs"; ids: readonly string[] }
  /** hints may have been missed: anything may have changed */
  | { kind: "missed" };

export interface Tenant {
  id: string;
  /** share of the fleet relative to other tenants; above 0 */
  weight: number;
}

export interface NewJob {
  id: string;
  tenant: Tenant;
  spec: JobSpec;
  /** what the `inputs` stream carries */
  inputs: Uint8Array | null;
  idempotencyKey: string | null;
  /** digest of the request; the same key with another digest is `idempotency_mismatch` */
  requestDigest: string;
  /** wall clock `ms` */
  now: number;
}

/** What a job is told by. */
export type JobGist = Pick<JobSpec, "profile" | "priority" | "labels">;

/** Nothing of the spec that may be large: a record is kept for as long as somebody follows the job, and listed with 500 others. */
export interface JobRecord extends JobGist {
  id: string;
  tenant: string;
  /** `offered` is told as `queued` */
  state: JobState;
  createdAt: number;
  /** accepted attempts, oldest first */
  attempts: AttemptRecord[];
  cancelRequested: boolean;
  result: JobResult | null;
}

export interface AttemptRecord {
  attempt: number;
  epoch: number;
  workerId: string;
  leasedAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  /** set once the attempt is over */
  reason: AttemptOutcome["reason"] | null;
  /** durable end of the attempt's log */
  logEnd: number;
}

export interface JobFilter {
  tenant?: string;
  states?: readonly JobState[];
  profile?: string;
  /** opaque, from the page before */
  cursor?: string;
  /** 1 to 500 */
  limit: number;
}

export interface JobPage {
  /** newest first; fewer than asked for where their results are large */
  jobs: JobRecord[];
  next: string | null;
}

export interface JobStore {
  /** Throws `idempotency_mismatch`; `created: false` when the key was used for the same request before. `queue_full` above the queue's cap. */
  submit(job: NewJob): Promise<{ job: JobRecord; created: boolean }>;
  get(id: string): Promise<JobRecord | null>;
  list(filter: JobFilter): Promise<JobPage>;
  /** null: there is no such job */
  spec(id: string): Promise<JobSpec | null>;
  /** Part `n` of what the job's `inputs` stream carries, at most 1 MiB; null behind the last, and where there is no such job. */
  inputs(id: string, n: number): Promise<Uint8Array | null>;
  /**
   * A job that waits ends as `cancelled` at once (`ended: true`), and its tenant's jobs behind it move up; for one that is offered or
   * held the wish is kept and `lease` names who to tell: its command may have been started. A terminal job is left as it is.
   */
  cancel(id: string, now: number): Promise<{ ended: boolean; lease: HeldBy | null; job: JobRecord } | null>;
  artifact(
    id: string,
    path: string,
  ): Promise<{ size: number; read(from: number, to: number): Promise<Uint8Array> } | null>;
}

/** Jobs of one profile and one set of required labels wait in one pool. */
export interface PoolDepth {
  pool: string;
  profile: string;
  labels: Record<string, string>;
  queued: number;
  /** wall clock `ms` of the oldest one's submission */
  oldestAt: number;
}

export interface ClaimRequest {
  pool: string;
  sessionId: string;
  limit: number;
  now: number;
  along?: string;
}

export interface Claim {
  lease: LeaseRef;
  jobId: string;
  tenant: string;
  spec: JobSpec;
  /** of the spec as JSON */
  specBytes: number;
}

export interface HeldBy {
  lease: LeaseRef;
  jobId: string;
  sessionId: string;
  workerId: string;
}

export interface WorkerSession {
  id: string;
  /** leases of the worker's earlier session that go on, end, or must be killed */
  verdicts: Verdict[];
}

/** Says what became of a fenced write: `superseded` when another attempt or epoch owns the job by now. */
export type Fenced = "recorded" | "superseded";

/**
 * A job's lease id is its job id; `epoch` grows with every claim, `attempt` with every acceptance. A claim names the attempt its
 * acceptance would make. Session leases come under the same ids and rules.
 */
export interface LeaseStore {
  pools(): Promise<PoolDepth[]>;
  /**
   * Takes up to `limit` queued jobs of `pool`, none behind `claimBytes` of specs, for a worker session, in fair order: each tenant has turns by its weight (start-time
   * fair queueing; of equal turns the first by the tenant's name), and takes one with its job of the highest priority, the oldest of
   * those. State `offered`. With `along` the id of a job that was submitted in the same turn: that one is claimed in epoch 1, which no
   * other claim of it has.
   */
  claim(request: ClaimRequest): Promise<Claim[]>;
  /** An offer that was refused or not answered: back to its old place in the queue, or over if it was cancelled meanwhile. */
  release(lease: LeaseRef, now: number): Promise<Fenced>;
  accept(lease: LeaseRef, now: number): Promise<Fenced>;
  started(lease: LeaseRef, at: number): Promise<Fenced>;
  /** Ends the attempt; the job ends with it or is queued again when it may be (`requeued`). Idempotent. */
  finish(
    lease: LeaseRef,
    outcome: AttemptOutcome,
    now: number,
  ): Promise<{ fenced: Fenced; requeued: boolean; job: JobRecord | null }>;

  /**
   * Opens the session of a worker process, under an id never used before. Leases of the session with the same worker and boot go on
   * in it (an offer among `held` counts as accepted); those of an earlier boot are settled at once. `finished` means that the end of
   * this very attempt is recorded; whatever else does not go on is `kill`. Throws `lease_superseded` for a `turn` that is not above the
   * worker's last: a hello that was long on its way, of this boot or of one that is over, knows nothing of what the worker was given since.
   * 0 is taken at any time.
   */
  openSession(worker: {
    workerId: string;
    bootId: string;
    turn: number;
    hubId: string;
    held: readonly HeldLease[];
    /** by `steadyNow`, as everywhere here: a wall clock that is set must end nobody's lease */
    leaseUntil: number;
    now: number;
  }): Promise<WorkerSession>;
  /**
   * Answers what `held` should do, and finds leases the store knows but the worker does not: those are lost (`worker_lost`). An
   * offer may still be on its way and is left alone.
   */
  reconcile(sessionId: string, held: readonly HeldLease[], now: number): Promise<Verdict[]>;
  /** Renews the session; null when it is over. `refs`: the leases accepted in it; `cancelled`: those whose cancel is pending. */
  renew(sessionId: string, leaseUntil: number): Promise<{ refs: LeaseRef[]; cancelled: LeaseRef[] } | null>;
  /** The worker left with nothing in hand; what it still held is lost. */
  closeSession(sessionId: string, now: number): Promise<void>;
  /** Ends every session whose `leaseUntil` passed by `now` (of `steadyNow`) and settles its leases: `lost` (`worker_lost`), or queued again. */
  expire(now: number): Promise<{ jobId: string; requeued: boolean }[]>;
}

export interface LogChunk {
  attempt: number;
  /** half-open range of the attempt's log */
  from: number;
  to: number;
  /** whole records, except that a chunk may begin or end inside one when `read` was asked to start there */
  bytes: Uint8Array;
  /** bytes of stdout and stderr before `from` */
  stdoutBefore: number;
  stderrBefore: number;
}

export interface LogStore {
  /**
   * Adds whole records at `from`, in one piece or several. Contiguous and idempotent: what lies below the durable end is skipped, a
   * gap is refused with `protocol_violation`. Resolves with the durable end, or `superseded`.
   */
  append(
    lease: LeaseRef,
    part: { from: number; bytes: Uint8Array | readonly Uint8Array[]; stdout: number; stderr: number },
  ): Promise<number | "superseded">;
  /** Stored chunks that cover the log from `from` on, whole chunks (so the first may begin before `from`), at most about `maxBytes`. */
  read(jobId: string, attempt: number, from: number, maxBytes: number): Promise<LogChunk[]>;
  /** The chunk that holds byte `offset` of the attempt's stdout or stderr; null when it is not there (yet). */
  locate(
    jobId: string,
    attempt: number,
    stream: "stdout" | "stderr",
    offset: number,
  ): Promise<LogChunk | null>;
  /** durable end and stream sizes of the attempt's log */
  end(jobId: string, attempt: number): Promise<{ logEnd: number; stdout: number; stderr: number }>;
  /**
   * Keeps one artifact, part by part; visible once `complete`. Fenced like everything about a lease, contiguous and idempotent like
   * the log; a part at offset 0 starts one that is not complete over again.
   */
  putArtifact(
    lease: LeaseRef,
    part: { path: string; offset: number; bytes: Uint8Array; complete: boolean },
  ): Promise<Fenced>;
  /** the complete ones of the latest attempt */
  artifacts(jobId: string): Promise<Artifact[]>;
}

export interface KnownProfile {
  offer: ProfileOffer;
  /** worker that told it last, and when */
  workerId: string;
  seenAt: number;
}

export interface WorkerRecord {
  workerId: string;
  bootId: string;
  hubId: string;
  sessionId: string | null;
  leaseUntil: number | null;
  /** jobs it holds */
  held: number;
  lastSeenAt: number;
}

/** What outlives a hub's memory of its fleet: profiles ever offered and workers ever seen. */
export interface FleetStore {
  saveProfiles(workerId: string, offers: readonly ProfileOffer[], now: number): Promise<void>;
  profiles(): Promise<KnownProfile[]>;
  workers(): Promise<WorkerRecord[]>;
}

/** One hub process that others on the same store may ask. */
export interface HubRecord {
  hubId: string;
  /** where it listens for them */
  url: string;
  /** what whoever asks it has to show; dies with the process */
  secret: string;
}

export interface HubDirectory {
  /** The hub lives, and will for `liveMs` by the store's own clock. Those whose time is over are forgotten. */
  announce(hub: HubRecord, liveMs: number): Promise<void>;
  /** It asks and answers no more. */
  leave(hubId: string): Promise<void>;
  /** those whose time is not over, by id */
  live(): Promise<HubRecord[]>;
}
