import { SallyportError } from "../../errors.ts";
import type { Db } from "./database.ts";
import { schemaV1, schemaV2, schemaV3, schemaV4 } from "./schema.ts";

/** Tells our files from other SQLite files ("SPRT"). */
const applicationId = 0x53505254;

/** What leads from version n to n + 1. Steps are only ever added. */
const steps: readonly string[] = [schemaV1, schemaV2, schemaV3, schemaV4];

/** Brings the file to this build's schema, all of it or nothing. Throws `store_unavailable` for a file of a later build. */
export function migrate(db: Db): void {
  const version = db.pragma("user_version");
  const owner = db.pragma("application_id");
  if (version > 0 && owner !== applicationId) {
    throw new SallyportError("store_corrupt", "store: the file is a database of another program", {
      details: { fix: "name a state folder of its own" },
    });
  }
  if (version > steps.length) {
    throw new SallyportError(
      "store_unavailable",
      `store: the file has schema ${version}, this build knows up to ${steps.length}`,
      {
        details: { schema: version, known: steps.length, fix: "run the build that wrote it, or a later one" },
      },
    );
  }
  if (version === steps.length) return;
  db.transaction("BEGIN IMMEDIATE", () => {
    for (const step of steps.slice(version)) db.exec(step);
    db.exec(`PRAGMA application_id = ${applicationId}`);
    db.exec(`PRAGMA user_version = ${steps.length}`);
  });
}
