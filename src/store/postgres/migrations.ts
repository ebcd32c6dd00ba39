import { SallyportError } from "../../errors.ts";
import type { Connection } from "./connection.ts";
import { schemaV1, schemaV2, schemaV3, schemaV4, schemaV5, schemaV6, schemaV7 } from "./schema.ts";

interface Step {
  sql: string;
  /** schema that the oldest build which can still use these tables was made for */
  usableBy: number;
}

/**
 * What leads from version n to n + 1. Steps are only ever added, and each one only adds (expand); what an earlier build uses is taken
 * away (contract) in a step after the one that made it needless, so that two neighbouring builds run on one database.
 */
const steps: readonly Step[] = [
  { sql: schemaV1, usableBy: 1 },
  { sql: schemaV2, usableBy: 1 },
  { sql: schemaV3, usableBy: 1 },
  { sql: schemaV4, usableBy: 1 },
  { sql: schemaV5, usableBy: 1 },
  { sql: schemaV6, usableBy: 1 },
  { sql: schemaV7, usableBy: 1 },
];

/** Brings the tables in `schema` to this build's version, all of it or nothing, one hub at a time. */
export async function migrate(connection: Connection, schema: string): Promise<void> {
  await connection.script("BEGIN");
  try {
    await connection.ask("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`sallyport ${schema}`]);
    await connection.script(
      `CREATE SCHEMA IF NOT EXISTS ${quoted(schema)};
       CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL, usable_by integer NOT NULL)`,
    );
    const [at] = await connection.ask<{ version: number; usableBy: number }>(
      `SELECT version, usable_by AS "usableBy" FROM schema_version`,
    );
    await upgrade(connection, at?.version ?? 0, at?.usableBy ?? 0);
    await connection.script("COMMIT");
  } catch (error) {
    if (!connection.lost) await connection.script("ROLLBACK");
    throw error;
  }
}

async function upgrade(connection: Connection, version: number, usableBy: number): Promise<void> {
  const known = steps.length;
  if (usableBy > known) {
    throw new SallyportError(
      "store_unavailable",
      `store: the database has schema ${version}, which takes builds from schema ${usableBy} on; this one knows up to ${known}`,
      { details: { schema: version, known, fix: "run the build that wrote it, or a later one" } },
    );
  }
  if (version >= known) return;
  for (const { sql } of steps.slice(version)) await connection.script(sql);
  await connection.script("DELETE FROM schema_version");
  await connection.ask("INSERT INTO schema_version (version, usable_by) VALUES ($1, $2)", [
    known,
    steps.at(-1)?.usableBy ?? known,
  ]);
}

/** https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS */
function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}
