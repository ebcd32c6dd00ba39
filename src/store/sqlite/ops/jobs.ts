import { SallyportError } from "../../../errors.ts";
import type { HeldBy } from "../../contract.ts";
import type { Submission } from "../../submission.ts";
import type { Db } from "../database.ts";
import { readJob, type RawJob } from "../raw-job.ts";
import { endWaiting, findJob, isTerminal, refOf, type JobRow } from "./rows.ts";

export interface SubmitArgs extends Submission {
  /** in parts, so that no row is huge */
  inputs: Uint8Array[];
  queueCap: number;
}

/** null: the job is there; else the one an earlier request of the same key made. */
export function submit(db: Db, args: SubmitArgs): RawJob | null {
  const earlier = findEarlier(db, args);
  if (earlier !== undefined) return earlier;
  const { queued } = db.get<{ queued: number }>("SELECT ifnull(sum(queued), 0) AS queued FROM pools") ?? {
    queued: 0,
  };
  if (queued >= args.queueCap) {
    throw new SallyportError("queue_full", `${queued} jobs wait already, the queue takes ${args.queueCap}`, {
      details: { cap: args.queueCap, fix: "submit again later, or add workers" },
    });
  }
  const vft = enterShare(db, args);
  const job = db.insert(
    `INSERT INTO jobs (id, tenant, pool, profile, state, priority, vft, max_attempts, created_at, queued_at,
                       idempotency_key, request_digest)
     VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)`,
    args.id,
    args.tenant,
    args.pool,
    args.profile,
    args.priority,
    vft,
    args.maxAttempts,
    args.now,
    args.now,
    args.idempotencyKey,
    args.requestDigest,
  );
  db.run("INSERT INTO specs (job, spec) VALUES (?, ?)", job, args.spec);
  for (const bytes of args.inputs) db.run("INSERT INTO inputs (job, bytes) VALUES (?, ?)", job, bytes);
  return null;
}

/** The same id counts as the same key: a submission whose answer was lost can be made again. */
function findEarlier(db: Db, args: SubmitArgs): RawJob | undefined {
  const select = "SELECT id, tenant, request_digest AS digest FROM jobs";
  const byKey =
    args.idempotencyKey === null
      ? undefined
      : db.get<{ id: string; tenant: string; digest: string }>(
          `${select} WHERE tenant = ? AND idempotency_key = ?`,
          args.tenant,
          args.idempotencyKey,
        );
  const earlier =
    byKey ?? db.get<{ id: string; tenant: string; digest: string }>(`${select} WHERE id = ?`, args.id);
  if (earlier === undefined) return undefined;
  if (earlier.digest !== args.requestDigest || earlier.tenant !== args.tenant) {
    throw new SallyportError("idempotency_mismatch", "idempotency-key: it was used for another request", {
      details: { field: "idempotency-key", job: earlier.id, fix: "use a fresh key for each request" },
    });
  }
  return readJob(db, earlier.id);
}

/** Start-time fair queueing: the job's virtual finish is one quantum behind its tenant's last, or behind the pool's present. */
function enterShare(db: Db, args: SubmitArgs): number {
  const { pool, tenant } = args;
  db.run(
    "INSERT INTO pools (pool, profile, labels) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    pool,
    args.profile,
    args.labels,
  );
  const { base } = db.get<{ base: number }>(
    `SELECT max(vtime, ifnull((SELECT last_vft FROM shares WHERE pool = ?1 AND tenant = ?2), 0)) AS base
       FROM pools WHERE pool = ?1`,
    pool,
    tenant,
  ) ?? { base: 0 };
  const vft = base + 1 / args.weight;
  db.run(
    "INSERT INTO shares (pool, tenant, last_vft) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last_vft = excluded.last_vft",
    pool,
    tenant,
    vft,
  );
  return vft;
}

export interface Cancelled {
  ended: boolean;
  lease: HeldBy | null;
  job: RawJob;
}

export function cancel(db: Db, { id, now }: { id: string; now: number }): Cancelled | null {
  const job = findJob(db, id);
  if (job === undefined) return null;
  const waits = job.state === "queued";
  const given = !waits && !isTerminal(job);
  if (waits) {
    endWaiting(db, job, now);
    lapse(db, job);
  }
  if (given) db.run("UPDATE jobs SET cancel_requested = 1 WHERE seq = ?", job.seq);
  const raw = readJob(db, id);
  return raw === undefined ? null : { ended: waits, lease: given ? holderOf(db, job) : null, job: raw };
}

/** Of its tenant's turns the last one goes with a job that waited, not its own: those behind it move up as if it had never come. */
function lapse(db: Db, { pool, tenant, vft }: JobRow): void {
  const ofTenant = "pool = ? AND tenant = ? AND state = 'queued' ORDER BY vft DESC LIMIT 1";
  db.run(
    `UPDATE jobs SET vft = ? WHERE vft > ? AND seq = (SELECT seq FROM jobs WHERE ${ofTenant})`,
    vft,
    vft,
    pool,
    tenant,
  );
  db.run(
    `UPDATE shares SET last_vft = ifnull((SELECT vft FROM jobs WHERE ${ofTenant}), 0) WHERE pool = ? AND tenant = ?`,
    pool,
    tenant,
    pool,
    tenant,
  );
}

function holderOf(db: Db, job: JobRow): HeldBy | null {
  const worker = db.get<{ workerId: string }>(
    "SELECT worker_id AS workerId FROM workers WHERE session = ?",
    job.session,
  );
  if (worker === undefined || job.session === null) return null;
  return { lease: refOf(job), jobId: job.id, sessionId: job.session, workerId: worker.workerId };
}
