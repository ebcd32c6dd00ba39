import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { steadyNow } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { lockFolder } from "./lock.ts";
import type { Reads } from "./reads/index.ts";
import type { ReaderData, WriterData } from "./rpc.ts";
import { SqliteStore } from "./sqlite-store.ts";
import { Thread } from "./thread.ts";
import type { Writes } from "./ops/index.ts";

export interface SqliteStoreOptions {
  /** folder of the store's files, made with mode 0700 where it is missing */
  dir: string;
  /** jobs that may wait before `queue_full`; 100,000 by default */
  queueCap?: number;
  /** largest size of the database file in bytes, above which it is `store_full`; the disk's by default */
  maxBytes?: number;
  /**
   * How long from now on sessions go on that are found open, `ms`: nobody else could renew them meanwhile, and the clock their ends were
   * written by may have been set. As they are written without it.
   */
  leaseMs?: number;
}

/**
 * Opens the store in `dir`, making it where there is none. Throws `state_in_use`, `store_corrupt`, and `store_unavailable` for a
 * folder that cannot be used or a file of a later build.
 */
export async function openSqliteStore(deps: { log: Log }, options: SqliteStoreOptions): Promise<SqliteStore> {
  const { dir, queueCap = 100_000, maxBytes = Number.MAX_SAFE_INTEGER, leaseMs } = options;
  const path = join(dir, "store.db");
  await using held = new AsyncDisposableStack();
  const lock = held.adopt(prepare(dir, path), (lock) => lock[Symbol.dispose]());
  const writer = held.use(
    await Thread.start<Writes>(deps, {
      entry: new URL("./writer.ts", import.meta.url),
      data: { path, maxBytes } satisfies WriterData,
    }),
  );
  if (leaseMs !== undefined) await writer.call("extendSessions", { leaseUntil: steadyNow() + leaseMs });
  const reader = await Thread.start<Reads>(deps, {
    entry: new URL("./reader.ts", import.meta.url),
    data: { path } satisfies ReaderData,
  });
  held.move();
  return new SqliteStore({ lock, writer, reader }, { queueCap });
}

/** SQLite gives the files beside the database the mode the database has. */
function prepare(dir: string, path: string): Disposable {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const lock = lockFolder(dir);
    if (!existsSync(path)) writeFileSync(path, "", { mode: 0o600 });
    chmodSync(path, 0o600);
    return lock;
  } catch (error) {
    if (error instanceof SallyportError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new SallyportError("store_unavailable", `${dir}: the state folder cannot be used: ${reason}`, {
      details: { field: "state", fix: "name a folder this user can write" },
      cause: error,
    });
  }
}
