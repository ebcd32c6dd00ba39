/** The rows operations decide on, in the database's own shape. */
import type { EndReason, JobResult, JobState } from "../../protocol/index.ts";

export interface OpenJob {
  seq: number;
  id: string;
  pool: string;
  state: "queued" | "offered" | "leased" | "running";
  priority: number;
  /** virtual finish: its tenant's turn, until a more urgent job of the tenant takes it */
  vft: number;
  epoch: number;
  attempts: number;
  maxAttempts: number;
  session: string | null;
  workerId: string | null;
  cancelRequested: boolean;
  createdAt: number;
  queuedAt: number;
  queuedMs: number;
  /** null where a hub of an earlier schema put it in */
  tenant: string | null;
}

/** A job that waits, with what a worker is sent of it. */
export interface Waiting {
  job: OpenJob;
  tenant: string;
  /** null: it is large, and read only when the job is claimed */
  spec: string | null;
  specBytes: number;
}

export interface Share {
  pool: string;
  tenant: string;
  lastVft: number;
}

export interface AttemptRow {
  job: number;
  attempt: number;
  epoch: number;
  workerId: string;
  leasedAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  reason: EndReason | null;
  reported: boolean;
  requeued: boolean;
  logEnd: number;
  stdout: number;
  stderr: number;
}

/** `labels` as JSON; they and the priority are null where a hub of an earlier schema put the job in, and `spec` is only then not. */
export interface GistRow {
  profile: string;
  priority: number | null;
  labels: string | null;
  spec: string | null;
}

/** What does not change while the job is open, and how it ended. */
export interface Recorded extends GistRow {
  seq: number;
  id: string;
  tenant: string;
  createdAt: number;
  digest: string;
  /** null while it is open */
  state: JobState | null;
  cancelRequested: boolean;
  result: string | null;
}

export interface WorkerRow {
  workerId: string;
  bootId: string;
  /** of that boot's last hello */
  turn: number;
  hubId: string;
  session: string | null;
  /** by the database's clock */
  leaseUntil: number | null;
  lastSeenAt: number;
}

export interface NewJobRow extends Recorded {
  pool: string;
  labels: string;
  priority: number;
  spec: string;
  weight: number;
  maxAttempts: number;
  key: string | null;
  inputs: readonly Uint8Array[];
}

export interface LogRow {
  job: number;
  attempt: number;
  start: number;
  stop: number;
  stdoutBefore: number;
  stderrBefore: number;
  stdout: number;
  stderr: number;
  bytes: Uint8Array;
}

export interface Ended {
  job: OpenJob;
  result: JobResult;
  finishedAt: number;
}

export interface Loaded {
  jobs: readonly OpenJob[];
  attempts: readonly AttemptRow[];
  recorded: readonly (Recorded & { key: string | null })[];
  workers: readonly WorkerRow[];
  /** ids of offers that nobody can know of any more */
  orphans: readonly string[];
  /** jobs that wait, of all pools */
  queued: number;
  /** of each pool that is claimed from those with the first turns, as many as are wanted, and the jobs that may take them */
  waiting: readonly Waiting[];
  shares: readonly Share[];
  pools: readonly { pool: string; vtime: number }[];
  /** numbers for new jobs, as many as there may be */
  seqs: readonly number[];
}
