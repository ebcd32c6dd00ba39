import { SallyportError } from "../../../errors.ts";
import type { LeaseRef } from "../../../protocol/index.ts";
import type { Fenced } from "../../contract.ts";
import type { Db } from "../database.ts";
import { heldUnder } from "./rows.ts";

export interface ArtifactPart {
  lease: LeaseRef;
  path: string;
  offset: number;
  bytes: Uint8Array;
  complete: boolean;
}

interface Kept {
  id: number;
  size: number;
  complete: number;
}

/** Contiguous and idempotent like the log. A part at 0 starts an artifact that is not complete over again. */
export function putArtifact(db: Db, part: ArtifactPart): Fenced {
  const job = heldUnder(db, part.lease);
  if (job === undefined) return "superseded";
  const kept = find(db, job.seq, part);
  if (kept !== undefined && kept.complete !== 0) return "recorded";
  const size = part.offset === 0 ? 0 : (kept?.size ?? 0);
  if (part.offset > size) {
    throw new SallyportError(
      "protocol_violation",
      `artifact ${part.path}: ${part.offset} does not follow on ${size}`,
      {
        details: { field: "offset", expected: size },
      },
    );
  }
  const id = kept === undefined ? add(db, job.seq, part) : startAt(db, kept, size);
  const bytes = part.bytes.subarray(size - part.offset);
  if (bytes.length > 0) {
    db.run(
      "INSERT INTO artifact_parts (job, artifact, start, bytes) VALUES (?, ?, ?, ?)",
      job.seq,
      id,
      size,
      bytes,
    );
  }
  db.run(
    "UPDATE artifacts SET size = ?, complete = ? WHERE id = ?",
    size + bytes.length,
    part.complete ? 1 : 0,
    id,
  );
  return "recorded";
}

function find(db: Db, job: number, { lease, path }: ArtifactPart): Kept | undefined {
  return db.get<Kept>(
    "SELECT id, size, complete FROM artifacts WHERE job = ? AND attempt = ? AND path = ?",
    job,
    lease.attempt,
    path,
  );
}

function add(db: Db, job: number, { lease, path }: ArtifactPart): number {
  return db.insert(
    "INSERT INTO artifacts (job, attempt, path, size, complete) VALUES (?, ?, ?, 0, 0)",
    job,
    lease.attempt,
    path,
  );
}

/** Lets go of parts that are sent again from the start. */
function startAt(db: Db, { id, size }: Kept, at: number): number {
  if (at < size) db.run("DELETE FROM artifact_parts WHERE artifact = ?", id);
  return id;
}
