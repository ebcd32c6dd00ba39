import type { WorkerRecord } from "../../contract.ts";
import type { Db } from "../database.ts";

export interface RawPool {
  pool: string;
  profile: string;
  labels: string;
  queued: number;
  oldestAt: number;
}

export function pools(db: Db): RawPool[] {
  return db.all<RawPool>(
    `SELECT pool, profile, labels, queued,
            (SELECT min(created_at) FROM jobs WHERE jobs.pool = pools.pool AND state = 'queued') AS oldestAt
       FROM pools WHERE queued > 0`,
  );
}

export interface RawProfile {
  offer: string;
  workerId: string;
  seenAt: number;
}

export function profiles(db: Db): RawProfile[] {
  return db.all<RawProfile>(
    "SELECT offer, worker_id AS workerId, seen_at AS seenAt FROM profiles ORDER BY name",
  );
}

export function workers(db: Db): WorkerRecord[] {
  return db
    .all<WorkerRecord>(
      `SELECT worker_id AS workerId, boot_id AS bootId, hub_id AS hubId, session AS sessionId,
              lease_until AS leaseUntil, last_seen_at AS lastSeenAt,
              (SELECT count(*) FROM jobs WHERE jobs.session = workers.session AND state <> 'offered') AS held
         FROM workers ORDER BY worker_id`,
    )
    .map((worker) => ({ ...worker }));
}
