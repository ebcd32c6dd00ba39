import type { Log } from "../../log.ts";
import type { PostgresStoreOptions } from "./open.ts";
import type { PostgresStore } from "./postgres-store.ts";

/**
 * Opens the store in a database, making its tables where there are none. Throws `store_unavailable` for a database that cannot be
 * reached or written, or whose tables are of a later build. The client is loaded by those only who have one.
 */
export async function openPostgresStore(
  deps: { log: Log },
  options: PostgresStoreOptions,
): Promise<PostgresStore> {
  return await (await import("./open.ts")).openStore(deps, options);
}
