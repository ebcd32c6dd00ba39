import type { Artifact } from "../../../protocol/index.ts";
import type { Connection } from "../connection.ts";
import { statement } from "../statement.ts";

/** Complete ones of the job's latest attempt; what an attempt before it left is of no result. */
const ofLatest = `FROM artifacts AS a JOIN jobs ON jobs.seq = a.job
  WHERE jobs.id = $1 AND a.complete AND a.attempt = (SELECT max(attempt) FROM attempts WHERE attempts.job = jobs.seq)`;

const listArtifacts = statement(
  "list_artifacts",
  `SELECT a.path, a.size ${ofLatest} ORDER BY a.path COLLATE "C"`,
);

export async function artifacts(connection: Connection, jobId: string): Promise<Artifact[]> {
  return await connection.run<Artifact>(listArtifacts, [jobId]);
}

export interface ArtifactPlace {
  artifact: number;
  size: number;
}

const placeOf = statement("find_artifact", `SELECT a.id AS artifact, a.size ${ofLatest} AND a.path = $2`);

export async function findArtifact(
  connection: Connection,
  jobId: string,
  path: string,
): Promise<ArtifactPlace | null> {
  const [found] = await connection.run<ArtifactPlace>(placeOf, [jobId, path]);
  return found ?? null;
}

const readParts = statement(
  "read_artifact",
  `SELECT start, bytes FROM artifact_parts WHERE artifact = $1 AND start < $3 AND start >= coalesce(
     (SELECT max(start) FROM artifact_parts WHERE artifact = $1 AND start <= $2), 0) ORDER BY start`,
);

/** `[from, to)` of it; less where the artifact ends, or was pruned. */
export async function readArtifact(
  connection: Connection,
  { artifact, from, to }: { artifact: number; from: number; to: number },
): Promise<Uint8Array> {
  const parts = await connection.run<{ start: number; bytes: Buffer }>(readParts, [artifact, from, to]);
  const wanted = parts.map(({ start, bytes }) =>
    bytes.subarray(Math.max(0, from - start), Math.max(0, to - start)),
  );
  return Buffer.concat(wanted);
}
