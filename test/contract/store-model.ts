/** The store's laws once more, as a few maps in memory: what a real store must agree with, step by step. */
import { isDeepStrictEqual } from "node:util";
import {
  terminalState,
  type AttemptOutcome,
  type EndReason,
  type LeaseRef,
  type Verdict,
} from "../../src/protocol/index.ts";

export interface ModelAttempt {
  epoch: number;
  worker: string;
  reason: EndReason | null;
  log: Buffer;
  reported: boolean;
  requeued: boolean;
}

export interface ModelJob {
  id: string;
  tenant: string;
  pool: string;
  priority: number;
  maxAttempts: number;
  order: number;
  vft: number;
  state: string;
  epoch: number;
  session: string | null;
  cancelRequested: boolean;
  attempts: ModelAttempt[];
  reason: EndReason | null;
  endedAt: number;
}

export interface ModelSession {
  worker: string;
  boot: string;
  until: number;
}

const retryableReasons = ["worker_lost", "sandbox_lost", "never_started"];
const open = ["queued", "offered", "leased", "running"];
const held = ["leased", "running"];

export class Model {
  readonly jobs = new Map<string, ModelJob>();
  readonly sessions = new Map<string, ModelSession>();
  /** every lease ever claimed, so that stale ones are tried too */
  readonly leases: LeaseRef[] = [];
  readonly #vtime = new Map<string, number>();
  readonly #lastVft = new Map<string, number>();
  now = 1_000;
  submitted = 0;

  submit(job: Pick<ModelJob, "tenant" | "pool" | "priority" | "maxAttempts">, weight: number): ModelJob {
    const share = `${job.pool}|${job.tenant}`;
    const vft = Math.max(this.#lastVft.get(share) ?? 0, this.#vtime.get(job.pool) ?? 0) + 1 / weight;
    this.#lastVft.set(share, vft);
    const made: ModelJob = {
      ...job,
      id: `j${this.submitted}`,
      order: this.submitted,
      vft,
      state: "queued",
      epoch: 0,
      session: null,
      cancelRequested: false,
      attempts: [],
      reason: null,
      endedAt: 0,
    };
    this.submitted += 1;
    this.jobs.set(made.id, made);
    return made;
  }

  waiting(pool: string): ModelJob[] {
    return [...this.jobs.values()]
      .filter((job) => job.pool === pool && job.state === "queued")
      .sort((a, b) => a.vft - b.vft || (a.tenant < b.tenant ? -1 : 1));
  }

  claim(pool: string, session: string, limit: number): LeaseRef[] {
    const refs: LeaseRef[] = [];
    while (this.sessions.has(session) && refs.length < limit) {
      const job = this.#next(pool);
      if (job === undefined) break;
      job.state = "offered";
      job.epoch = job.epoch === 0 ? 2 : job.epoch + 1;
      job.session = session;
      this.#vtime.set(pool, Math.max(this.#vtime.get(pool) ?? 0, job.vft));
      refs.push(this.ref(job));
    }
    this.leases.push(...refs);
    return refs;
  }

  release(lease: LeaseRef): string {
    const job = this.jobs.get(lease.lease);
    if (job === undefined || job.epoch !== lease.epoch || job.attempts.length + 1 !== lease.attempt) {
      return "superseded";
    }
    if (job.state === "offered") this.#return(job);
    else if (job.state !== "queued") return "superseded";
    return "recorded";
  }

  accept(lease: LeaseRef): string {
    const job = this.jobs.get(lease.lease);
    if (job === undefined || ![...held, "offered"].includes(job.state)) return "superseded";
    if (!isDeepStrictEqual(this.ref(job), lease)) return "superseded";
    if (job.state === "offered") this.#accept(job);
    return "recorded";
  }

  started(lease: LeaseRef): string {
    const job = this.#holder(lease);
    if (job === undefined) return "superseded";
    job.state = "running";
    return "recorded";
  }

  append(lease: LeaseRef, from: number, bytes: Buffer): number | string {
    const attempt = this.#holder(lease)?.attempts.at(-1);
    if (attempt === undefined) return "superseded";
    const end = attempt.log.length;
    if (from > end) return "protocol_violation";
    attempt.log = Buffer.concat([attempt.log, bytes.subarray(end - from)]);
    return attempt.log.length;
  }

  finish(lease: LeaseRef, outcome: AttemptOutcome): { fenced: string; requeued: boolean } {
    const job = this.#holder(lease);
    if (job !== undefined) return { fenced: "recorded", requeued: this.#end(job, outcome, true) };
    const attempt = this.jobs.get(lease.lease)?.attempts[lease.attempt - 1];
    if (attempt?.reported !== true || attempt.epoch !== lease.epoch) {
      return { fenced: "superseded", requeued: false };
    }
    return { fenced: "recorded", requeued: attempt.requeued };
  }

  cancel(id: string): { ended: boolean; lease: LeaseRef | null } | null {
    const job = this.jobs.get(id);
    if (job === undefined) return null;
    if (job.state === "queued") {
      this.#terminal(job, "cancelled", null);
      this.#lapse(job);
      return { ended: true, lease: null };
    }
    if (!open.includes(job.state)) return { ended: false, lease: null };
    job.cancelRequested = true;
    return { ended: false, lease: this.ref(job) };
  }

  openSession(session: string, worker: ModelSession, told: readonly LeaseRef[]): Verdict[] {
    for (const [id, before] of this.sessions) {
      if (before.worker !== worker.worker) continue;
      if (before.boot === worker.boot) {
        for (const job of this.jobsOf(id)) job.session = session;
      } else this.#settle(id);
      this.sessions.delete(id);
    }
    this.sessions.set(session, worker);
    return this.#compare(session, told, true);
  }

  reconcile(session: string, told: readonly LeaseRef[]): Verdict[] {
    return this.#compare(session, told, false);
  }

  renew(session: string, until: number): { refs: LeaseRef[]; cancelled: LeaseRef[] } | null {
    const known = this.sessions.get(session);
    if (known === undefined) return null;
    known.until = until;
    const jobs = this.jobsOf(session).filter((job) => held.includes(job.state));
    return {
      refs: jobs.map((job) => this.ref(job)),
      cancelled: jobs.filter((job) => job.cancelRequested).map((job) => this.ref(job)),
    };
  }

  closeSession(session: string): void {
    this.#settle(session);
    this.sessions.delete(session);
  }

  expire(): { jobId: string; requeued: boolean }[] {
    const over = [...this.sessions].filter(([, session]) => session.until <= this.now);
    return over.flatMap(([id]) => {
      const settled = this.#settle(id);
      this.sessions.delete(id);
      return settled;
    });
  }

  prune(before: number): number {
    const gone = [...this.jobs.values()].filter((job) => !open.includes(job.state) && job.endedAt < before);
    for (const job of gone) this.jobs.delete(job.id);
    for (const pool of this.#vtime.keys()) this.#forgetPool(pool);
    for (const share of this.#lastVft.keys()) this.#forgetPool(share.split("|")[0] ?? "");
    return gone.length;
  }

  jobsOf(session: string): ModelJob[] {
    return [...this.jobs.values()].filter((job) => job.session === session);
  }

  isCurrent(lease: LeaseRef): boolean {
    const job = this.jobs.get(lease.lease);
    return job !== undefined && job.session !== null && isDeepStrictEqual(this.ref(job), lease);
  }

  ref(job: ModelJob): LeaseRef {
    const attempt = job.attempts.length + (job.state === "offered" ? 1 : 0);
    return { lease: job.id, attempt, epoch: job.epoch };
  }

  /** A pool nobody is in any more starts from nothing. */
  #forgetPool(pool: string): void {
    if ([...this.jobs.values()].some((job) => job.pool === pool && open.includes(job.state))) return;
    this.#vtime.delete(pool);
    for (const share of this.#lastVft.keys()) if (share.startsWith(`${pool}|`)) this.#lastVft.delete(share);
  }

  #compare(session: string, told: readonly LeaseRef[], offersAreLost: boolean): Verdict[] {
    const verdicts = told.map((lease) => this.#judge(session, lease));
    const going = new Set(verdicts.filter(({ verdict }) => verdict === "continue").map(({ lease }) => lease));
    for (const job of this.jobsOf(session)) {
      if (!going.has(job.id) && (offersAreLost || job.state !== "offered")) this.#takeBack(job);
    }
    return verdicts;
  }

  #judge(session: string, told: LeaseRef): Verdict {
    const job = this.jobs.get(told.lease);
    const attempt = job?.attempts[told.attempt - 1];
    if (job?.session === session && isDeepStrictEqual(this.ref(job), told)) {
      if (job.state === "offered") this.#accept(job);
      return { ...told, verdict: "continue", from: attempt?.log.length ?? 0 };
    }
    const finished = attempt?.reported === true && attempt.epoch === told.epoch;
    return { ...told, verdict: finished ? "finished" : "kill", from: 0 };
  }

  #holder(lease: LeaseRef): ModelJob | undefined {
    const job = this.jobs.get(lease.lease);
    return job !== undefined && held.includes(job.state) && isDeepStrictEqual(this.ref(job), lease)
      ? job
      : undefined;
  }

  #accept(job: ModelJob): void {
    const worker = this.sessions.get(job.session ?? "")?.worker ?? "";
    const fresh = { reason: null, log: Buffer.alloc(0), reported: false, requeued: false };
    job.attempts.push({ ...fresh, epoch: job.epoch, worker });
    job.state = "leased";
  }

  #settle(session: string): { jobId: string; requeued: boolean }[] {
    return this.jobsOf(session).map((job) => {
      if (job.state === "offered") this.#accept(job);
      return { jobId: job.id, requeued: this.#takeBack(job) };
    });
  }

  #takeBack(job: ModelJob): boolean {
    if (job.state !== "offered")
      return this.#end(job, { reason: "worker_lost", exitCode: null, error: null }, false);
    return this.#return(job);
  }

  /** The first turn goes to its tenant's most urgent job, whose own turn the job gets that had it. */
  #next(pool: string): ModelJob | undefined {
    const waiting = this.waiting(pool);
    const [turn] = waiting;
    const [urgent] = waiting
      .filter(({ tenant }) => tenant === turn?.tenant)
      .sort((a, b) => b.priority - a.priority || a.order - b.order);
    if (turn !== undefined && urgent !== undefined) [turn.vft, urgent.vft] = [urgent.vft, turn.vft];
    return urgent;
  }

  /** The tenant is left its first turns. */
  #lapse({ pool, tenant, vft }: ModelJob): void {
    const ofTenant = this.waiting(pool).filter((job) => job.tenant === tenant);
    const last = ofTenant.at(-1);
    if (last !== undefined) last.vft = Math.min(last.vft, vft);
    this.#lastVft.set(`${pool}|${tenant}`, Math.max(0, ...ofTenant.map((job) => job.vft)));
  }

  #return(job: ModelJob): boolean {
    if (job.cancelRequested) this.#terminal(job, "cancelled", null);
    else this.#requeue(job);
    return !job.cancelRequested;
  }

  #end(
    job: ModelJob,
    outcome: Pick<AttemptOutcome, "reason" | "exitCode" | "error">,
    reported: boolean,
  ): boolean {
    const { reason } = outcome;
    const tries = job.attempts.length;
    const free = reason === "never_started" && outcome.error?.code === "engine_unavailable" ? 3 : 0;
    const retried = retryableReasons.includes(reason) && tries < job.maxAttempts + free;
    const requeued = retried && !job.cancelRequested;
    Object.assign(job.attempts.at(-1) ?? {}, { reason, reported, requeued });
    if (requeued) this.#requeue(job);
    else if (retried) this.#terminal(job, "cancelled", null);
    else this.#terminal(job, reason, outcome.exitCode);
    return requeued;
  }

  #requeue(job: ModelJob): void {
    job.state = "queued";
    job.session = null;
  }

  #terminal(job: ModelJob, reason: EndReason, exitCode: number | null): void {
    job.state = terminalState(reason, exitCode);
    job.reason = reason;
    job.session = null;
    job.endedAt = this.now;
  }
}
