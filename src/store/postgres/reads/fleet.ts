import type { ProfileOffer } from "../../../protocol/index.ts";
import type { KnownProfile, PoolDepth, WorkerRecord } from "../../contract.ts";
import type { DatabaseClock } from "../clock.ts";
import type { Connection } from "../connection.ts";
import { statement } from "../statement.ts";

const readPools = statement(
  "read_pools",
  `SELECT pool, profile, labels, queued, "oldestAt" FROM (
     SELECT pool, profile, labels, queued,
            (SELECT min(created_at) FROM open_jobs AS o WHERE o.pool = p.pool AND o.state = 'queued') AS "oldestAt"
       FROM pools AS p WHERE queued > 0) AS depths WHERE "oldestAt" IS NOT NULL`,
);

export async function pools(connection: Connection): Promise<PoolDepth[]> {
  const rows = await connection.run<Omit<PoolDepth, "labels"> & { labels: string }>(readPools);
  return rows.map((row) => ({ ...row, labels: JSON.parse(row.labels) as Record<string, string> }));
}

const readProfiles = statement(
  "read_profiles",
  `SELECT offer, worker_id AS "workerId", seen_at AS "seenAt" FROM profiles ORDER BY name COLLATE "C"`,
);

export async function profiles(connection: Connection): Promise<KnownProfile[]> {
  const rows = await connection.run<Omit<KnownProfile, "offer"> & { offer: string }>(readProfiles);
  return rows.map((row) => ({ ...row, offer: JSON.parse(row.offer) as ProfileOffer }));
}

const readWorkers = statement(
  "read_workers",
  `SELECT worker_id AS "workerId", boot_id AS "bootId", hub_id AS "hubId", session AS "sessionId",
          lease_until AS "leaseUntil", last_seen_at AS "lastSeenAt",
          (SELECT count(*) FROM open_jobs AS o WHERE o.session = workers.session AND o.state <> 'offered') AS held
     FROM workers ORDER BY worker_id COLLATE "C"`,
);

export async function workers(connection: Connection, clock: DatabaseClock): Promise<WorkerRecord[]> {
  const rows = await connection.run<WorkerRecord>(readWorkers);
  return rows.map((row) => ({
    ...row,
    leaseUntil: row.leaseUntil === null ? null : clock.fromDatabase(row.leaseUntil),
  }));
}
