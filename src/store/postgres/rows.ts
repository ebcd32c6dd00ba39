/** The rows of one group of calls, as they were when the group began and as its calls leave them. */
import type { JobResult } from "../../protocol/index.ts";
import type { AttemptRecord, Claim, JobRecord } from "../contract.ts";
import type { DatabaseClock } from "./clock.ts";
import { gistOf } from "./gist.ts";
import { Line } from "./line.ts";
import type { News } from "./news.ts";

import type {
  AttemptRow,
  Ended,
  Loaded,
  LogRow,
  NewJobRow,
  OpenJob,
  Recorded,
  Share,
  Waiting,
  WorkerRow,
} from "./row-types.ts";

export class Rows {
  readonly clock: DatabaseClock;
  readonly news: News;
  readonly changedJobs = new Set<OpenJob>();
  readonly changedAttempts = new Set<AttemptRow>();
  readonly changedWorkers = new Set<WorkerRow>();
  readonly newWorkers = new Set<WorkerRow>();
  readonly newJobs: NewJobRow[] = [];
  /** those of the new jobs that are open still */
  readonly newOpenJobs = new Set<OpenJob>();
  readonly changedShares = new Set<Share>();
  /** by pool: its present, where claims moved it on */
  readonly vtimes = new Map<string, number>();
  /** by number of the job: claims whose specs are still to be read */
  readonly claimedUnread = new Map<number, Claim>();
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
  readonly #lines = new Map<string, Line>();
  readonly #shares: Map<string, Share>;
  readonly #vtimes: Map<string, number>;
  #queued: number;

  constructor(deps: { clock: DatabaseClock; news: News }, loaded: Loaded) {
    this.clock = deps.clock;
    this.news = deps.news;
    this.#jobs = new Map(loaded.jobs.map((job) => [job.id, job]));
    for (const waiting of loaded.waiting) this.#keepWaiting(waiting);
    this.#shares = new Map(loaded.shares.map((share) => [keyOf(share.pool, share.tenant), share]));
    this.#vtimes = new Map(loaded.pools.map(({ pool, vtime }) => [pool, vtime]));
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
    if (!this.newOpenJobs.has(job)) this.changedJobs.add(job);
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

  addJob(job: NewJobRow): void {
    this.newJobs.push(job);
    this.#recorded.set(job.id, job);
    if (job.key !== null) this.#byKey.set(keyOf(job.tenant, job.key), job.id);
    const { seq, id, pool, priority, maxAttempts, createdAt, tenant, spec } = job;
    const open: OpenJob = {
      seq,
      id,
      pool,
      state: "queued",
      priority,
      vft: this.#enterShare(job),
      epoch: 0,
      attempts: 0,
      maxAttempts,
      session: null,
      workerId: null,
      cancelRequested: false,
      createdAt,
      queuedAt: createdAt,
      queuedMs: 0,
      tenant,
    };
    this.newOpenJobs.add(open);
    const specBytes = Buffer.byteLength(spec);
    this.#keepWaiting({ job: open, tenant, spec, specBytes });
    this.#count(pool, 1);
    this.news.jobs.add(id);
  }

  /** Who is next in a pool, of those looked at, with the turn it takes; the job that had the turn has that one's. */
  next(pool: string): Waiting | undefined {
    const next = this.#lines.get(pool)?.next();
    if (next === undefined) return undefined;
    const { job, holder } = next;
    if (holder === job) return job;
    const { vft } = holder.job;
    this.update(holder.job, { vft: job.job.vft });
    this.update(job.job, { vft });
    return job;
  }

  /** Of its tenant's turns the last one goes with a job that waited, not its own: those behind it move up as if it had never come. */
  lapse({ pool, tenant, vft }: OpenJob): void {
    const share = this.#shares.get(keyOf(pool, tenant ?? ""));
    if (share === undefined) return;
    let last: OpenJob | undefined;
    let beforeLast = 0;
    for (const job of this.#jobs.values()) {
      if (job.state !== "queued" || job.pool !== pool || job.tenant !== tenant) continue;
      beforeLast = Math.max(beforeLast, Math.min(job.vft, last?.vft ?? 0));
      if (last === undefined || job.vft > last.vft) last = job;
    }
    if (last !== undefined && last.vft > vft) this.update(last, { vft });
    share.lastVft = Math.max(last?.vft ?? 0, beforeLast);
    this.changedShares.add(share);
  }

  /** The pool's present moves on to the virtual finish of a job that was claimed. */
  advance({ pool, vft }: OpenJob): void {
    const vtime = Math.max(this.#vtimes.get(pool) ?? 0, vft);
    this.#vtimes.set(pool, vtime);
    this.vtimes.set(pool, vtime);
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
    this.newOpenJobs.delete(job);
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
      ...gistOf(recorded),
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

  /** Start-time fair queueing: a job's virtual finish is one quantum behind its tenant's last, or behind the pool's present. */
  #enterShare({ pool, tenant, weight }: NewJobRow): number {
    const name = keyOf(pool, tenant);
    const share = this.#shares.get(name) ?? { pool, tenant, lastVft: 0 };
    share.lastVft = Math.max(share.lastVft, this.#vtimes.get(pool) ?? 0) + 1 / weight;
    this.#shares.set(name, share);
    this.changedShares.add(share);
    return share.lastVft;
  }

  #keepWaiting(waiting: Waiting): void {
    const { id } = waiting.job;
    const job = this.#jobs.get(id) ?? waiting.job;
    this.#jobs.set(id, job);
    const line = this.#lines.get(job.pool) ?? new Line();
    this.#lines.set(job.pool, line);
    line.add({ ...waiting, job });
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
