/** The rows of one group of calls, as they were when the group began and as its calls leave them. */
import type { EndReason, JobResult, JobSpec, JobState } from "../../protocol/index.ts";
import type { AttemptRecord, JobRecord } from "../contract.ts";
import type { DatabaseClock } from "./clock.ts";
import type { News } from "./calls.ts";

export interface OpenJob {
  seq: number;
  id: string;
  pool: string;
  state: "queued" | "offered" | "leased" | "running";
  epoch: number;
  attempts: number;
  maxAttempts: number;
  session: string | null;
  workerId: string | null;
  cancelRequested: boolean;
  queuedAt: number;
  queuedMs: number;
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

/** What does not change while the job is open, and how it ended. */
export interface Recorded {
  seq: number;
  id: string;
  tenant: string;
  spec: string;
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
  hubId: string;
  session: string | null;
  /** by the database's clock */
  leaseUntil: number | null;
  lastSeenAt: number;
}

export interface NewJobRow extends Recorded {
  pool: string;
  profile: string;
  labels: string;
  priority: number;
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
  /** numbers for new jobs, as many as there may be */
  seqs: readonly number[];
}

export class Rows {
  readonly clock: DatabaseClock;
  readonly news: News;
  readonly changedJobs = new Set<OpenJob>();
  readonly changedAttempts = new Set<AttemptRow>();
  readonly changedWorkers = new Set<WorkerRow>();
  readonly newWorkers = new Set<WorkerRow>();
  readonly newJobs: NewJobRow[] = [];
  readonly ended: Ended[] = [];
  readonly log: LogRow[] = [];
  /** by pool: how many more wait there, or fewer */
  readonly queuedBy = new Map<string, number>();
  readonly orphans: readonly string[];
  readonly #jobs: Map<string, OpenJob>;
  readonly #attempts = new Map<number, Map<number, AttemptRow>>();
  readonly #recorded: Map<string, Recorded>;
  readonly #byKey = new Map<string, string>();
  readonly #workers: Map<string, WorkerRow>;
  readonly #seqs: number[];
  #queued: number;

  constructor(deps: { clock: DatabaseClock; news: News }, loaded: Loaded) {
    this.clock = deps.clock;
    this.news = deps.news;
    this.#jobs = new Map(loaded.jobs.map((job) => [job.id, job]));
    this.#recorded = new Map(loaded.recorded.map((job) => [job.id, { ...job }]));
    for (const { id, tenant, key } of loaded.recorded) {
      if (key !== null) this.#byKey.set(keyOf(tenant, key), id);
    }
    this.#workers = new Map(loaded.workers.map((worker) => [worker.workerId, worker]));
    for (const row of loaded.attempts) this.#keep(row);
    this.#seqs = [...loaded.seqs];
    this.#queued = loaded.queued;
    this.orphans = loaded.orphans;
  }

  get queued(): number {
    return this.#queued;
  }

  /** The job while it is open. */
  job(id: string): OpenJob | undefined {
    return this.#jobs.get(id);
  }

  /** What a worker session has been given, offers included, oldest first. */
  jobsOf(session: string): OpenJob[] {
    return [...this.#jobs.values()].filter((job) => job.session === session).sort((a, b) => a.seq - b.seq);
  }

  attempt(seq: number, attempt: number): AttemptRow | undefined {
    return this.#attempts.get(seq)?.get(attempt);
  }

  recorded(id: string): Recorded | undefined {
    return this.#recorded.get(id);
  }

  byKey(tenant: string, key: string): string | undefined {
    return this.#byKey.get(keyOf(tenant, key));
  }

  worker(workerId: string): WorkerRow | undefined {
    return this.#workers.get(workerId);
  }

  workerOf(session: string): WorkerRow | undefined {
    return this.workers().find((worker) => worker.session === session);
  }

  workers(): WorkerRow[] {
    return [...this.#workers.values()];
  }

  nextSeq(): number {
    const seq = this.#seqs.shift();
    if (seq === undefined) throw new Error("more jobs than numbers were drawn for");
    return seq;
  }

  /** Every change of a job's row goes through here, so that the counts of who waits are right. */
  update(job: OpenJob, change: Partial<Omit<OpenJob, "seq" | "id" | "pool">>): void {
    const before = job.state;
    Object.assign(job, change);
    this.#count(job.pool, Number(job.state === "queued") - Number(before === "queued"));
    this.changedJobs.add(job);
    this.news.jobs.add(job.id);
  }

  updateAttempt(row: AttemptRow, change: Partial<AttemptRow>): void {
    Object.assign(row, change);
    this.changedAttempts.add(row);
  }

  addAttempt(row: AttemptRow): void {
    this.#keep(row);
    this.changedAttempts.add(row);
  }

  updateWorker(worker: WorkerRow, change: Partial<WorkerRow>): void {
    Object.assign(worker, change);
    if (!this.newWorkers.has(worker)) this.changedWorkers.add(worker);
  }

  addWorker(worker: WorkerRow): void {
    this.#workers.set(worker.workerId, worker);
    this.newWorkers.add(worker);
  }

  addJob(job: NewJobRow, now: number): void {
    this.newJobs.push(job);
    this.#recorded.set(job.id, job);
    if (job.key !== null) this.#byKey.set(keyOf(job.tenant, job.key), job.id);
    const { seq, id, pool, maxAttempts } = job;
    this.#jobs.set(id, {
      seq,
      id,
      pool,
      maxAttempts,
      state: "queued",
      queuedAt: now,
      queuedMs: 0,
      epoch: 0,
      attempts: 0,
      session: null,
      workerId: null,
      cancelRequested: false,
    });
    this.#count(pool, 1);
    this.news.jobs.add(id);
  }

  addLog(job: OpenJob, row: LogRow): void {
    this.log.push(row);
    this.news.jobs.add(job.id);
  }

  /** The job is over. */
  end(job: OpenJob, result: JobResult, finishedAt: number): void {
    this.#count(job.pool, job.state === "queued" ? -1 : 0);
    this.#jobs.delete(job.id);
    this.changedJobs.delete(job);
    this.ended.push({ job, result, finishedAt });
    this.news.jobs.add(job.id);
    const recorded = this.#recorded.get(job.id);
    if (recorded === undefined) return;
    const { state } = result;
    Object.assign(recorded, { state, result: JSON.stringify(result), cancelRequested: job.cancelRequested });
  }

  /** The whole job as these calls leave it. */
  record(id: string): JobRecord | null {
    const recorded = this.#recorded.get(id);
    if (recorded === undefined) return null;
    const job = this.#jobs.get(id);
    const state = recorded.state ?? job?.state ?? "queued";
    return {
      id,
      tenant: recorded.tenant,
      state: state === "offered" ? "queued" : state,
      spec: JSON.parse(recorded.spec) as JobSpec,
      createdAt: recorded.createdAt,
      attempts: this.#attemptsOf(recorded.seq),
      cancelRequested: job?.cancelRequested ?? recorded.cancelRequested,
      result: recorded.result === null ? null : (JSON.parse(recorded.result) as JobResult),
    };
  }

  #attemptsOf(seq: number): AttemptRecord[] {
    return [...(this.#attempts.get(seq)?.values() ?? [])]
      .sort((a, b) => a.attempt - b.attempt)
      .map(({ attempt, epoch, workerId, leasedAt, startedAt, finishedAt, reason, logEnd }) => ({
        attempt,
        epoch,
        workerId,
        leasedAt,
        startedAt,
        finishedAt,
        reason,
        logEnd,
      }));
  }

  #keep(row: AttemptRow): void {
    const ofJob = this.#attempts.get(row.job) ?? new Map<number, AttemptRow>();
    ofJob.set(row.attempt, row);
    this.#attempts.set(row.job, ofJob);
  }

  #count(pool: string, change: number): void {
    if (change === 0) return;
    this.#queued += change;
    this.queuedBy.set(pool, (this.queuedBy.get(pool) ?? 0) + change);
    if (change > 0) this.news.queued = true;
  }
}

function keyOf(tenant: string, key: string): string {
  return JSON.stringify([tenant, key]);
}
