import { SallyportError } from "../../../errors.ts";
import type { LeaseRef } from "../../../protocol/index.ts";
import type { Fenced } from "../../contract.ts";
import type { DirectCall } from "../calls.ts";
import type { Connection } from "../connection.ts";
import { statement } from "../statement.ts";

export interface ArtifactPart {
  path: string;
  offset: number;
  bytes: Uint8Array;
  complete: boolean;
}

const lockHeld = statement(
  "lock_held",
  `SELECT seq FROM open_jobs WHERE id = $1 AND epoch = $2 AND attempts = $3 AND state IN ('leased', 'running') FOR UPDATE`,
);

const openArtifact = statement(
  "open_artifact",
  `INSERT INTO artifacts AS a (job, attempt, path) VALUES ($1, $2, $3)
   ON CONFLICT (job, attempt, path) DO UPDATE SET size = a.size RETURNING id, size, complete`,
);

const clearArtifact = statement("clear_artifact", "DELETE FROM artifact_parts WHERE artifact = $1");

const addPart = statement(
  "add_part",
  "INSERT INTO artifact_parts (artifact, start, job, bytes) VALUES ($1, $2, $3, $4::bytea)",
);

const growArtifact = statement(
  "grow_artifact",
  "UPDATE artifacts SET size = $2, complete = $3 WHERE id = $1",
);

interface Kept {
  id: number;
  size: number;
  complete: boolean;
}

/** Contiguous and idempotent like the log. A part at 0 starts an artifact that is not complete over again. */
export function putArtifact(lease: LeaseRef, part: ArtifactPart): DirectCall<Fenced> {
  return {
    kind: "direct",
    single: false,
    size: part.bytes.length,
    run: async ({ connection }) => {
      const grant = [lease.lease, lease.epoch, lease.attempt];
      const [job] = await connection.run<{ seq: number }>(lockHeld, grant);
      if (job === undefined) return "superseded";
      const [kept] = await connection.run<Kept>(openArtifact, [job.seq, lease.attempt, part.path]);
      if (kept === undefined || kept.complete) return "recorded";
      await add(connection, { job: job.seq, kept, part });
      return "recorded";
    },
  };
}

async function add(
  connection: Connection,
  { job, kept, part }: { job: number; kept: Kept; part: ArtifactPart },
): Promise<void> {
  const size = part.offset === 0 ? 0 : kept.size;
  if (part.offset > size) {
    throw new SallyportError(
      "protocol_violation",
      `artifact ${part.path}: ${part.offset} does not follow on ${size}`,
      { details: { field: "offset", expected: size } },
    );
  }
  if (size < kept.size) await connection.run(clearArtifact, [kept.id]);
  const bytes = part.bytes.subarray(size - part.offset);
  if (bytes.length > 0) await connection.run(addPart, [kept.id, size, job, bytes]);
  await connection.run(growArtifact, [kept.id, size + bytes.length, part.complete]);
}
