import type { Artifact } from "../../../protocol/index.ts";
import type { Db } from "../database.ts";
import { join } from "./jobs.ts";

/** Complete ones of the job's latest attempt; what an attempt before it left is of no result. */
const ofLatest = `FROM artifacts AS a JOIN jobs ON jobs.seq = a.job AND jobs.attempts = a.attempt
                 WHERE jobs.id = ? AND a.complete = 1`;

export function artifacts(db: Db, { jobId }: { jobId: string }): Artifact[] {
  return db
    .all<{ path: string; size: number }>(`SELECT a.path, a.size ${ofLatest} ORDER BY a.path`, jobId)
    .map(({ path, size }) => ({ path, size }));
}

export interface ArtifactPlace {
  artifact: number;
  size: number;
}

export function findArtifact(db: Db, args: { jobId: string; path: string }): ArtifactPlace | null {
  const found = db.get<ArtifactPlace>(
    `SELECT a.id AS artifact, a.size ${ofLatest} AND a.path = ?`,
    args.jobId,
    args.path,
  );
  return found ?? null;
}

export interface ArtifactRange {
  artifact: number;
  from: number;
  to: number;
}

/** `[from, to)` of it; less where the artifact ends, or was pruned. */
export function readArtifact(db: Db, args: ArtifactRange, transfer: ArrayBuffer[]): Uint8Array {
  const parts = db.all<{ start: number; bytes: Uint8Array<ArrayBuffer> }>(
    `SELECT start, bytes FROM artifact_parts WHERE artifact = ?1 AND start < ?3 AND start >= ifnull(
       (SELECT max(start) FROM artifact_parts WHERE artifact = ?1 AND start <= ?2), 0) ORDER BY start`,
    args.artifact,
    args.from,
    args.to,
  );
  const wanted = parts.map(({ start, bytes }) =>
    bytes.slice(Math.max(0, args.from - start), Math.max(0, args.to - start)),
  );
  return join(wanted, transfer);
}
