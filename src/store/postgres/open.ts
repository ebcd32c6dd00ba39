import { randomUUID } from "node:crypto";
import type { Log } from "../../log.ts";
import { DatabaseClock } from "./clock.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { storeError } from "./errors.ts";
import { Hints } from "./hints.ts";
import { migrate } from "./migrations.ts";
import { PostgresStore } from "./postgres-store.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database`; a direct connection, or a pooler that keeps sessions */
  url: string;
  /** schema the tables are in, made where it is missing; `sallyport` by default */
  schema?: string;
  /** jobs that may wait before `queue_full`; 100,000 by default */
  queueCap?: number;
  /** connections that read; with one that writes and one for hints that makes 4 for each hub by default */
  readers?: number;
  /** how long calls wait for a database that went away, `ms`; 15,000 by default, which outlasts a transaction it left behind */
  patienceMs?: number;
}

/**
 * How long one statement of the writer may take, `ms`. Renewals wait behind it: where a firewall or a failover leaves a connection that
 * nobody answers on, a new one must be there before workers think that their hub is gone.
 */
export const writeMs = 8_000;

/** how long a step of the schema may take, `ms` */
const migrationMs = 600_000;

export async function openStore(deps: { log: Log }, options: PostgresStoreOptions): Promise<PostgresStore> {
  const { url, schema = "sallyport", queueCap = 100_000, readers = 2, patienceMs = 15_000 } = options;
  const connect: ConnectionOptions = { url, schema, name: "sallyport" };
  await prepare(connect);
  const clock = new DatabaseClock();
  await using held = new AsyncDisposableStack();
  const hints = held.use(new Hints(deps, { ...connect, name: "sallyport hints", origin: randomUUID() }));
  const reader = held.use(new Reader({ ...connect, name: "sallyport reader", connections: readers }));
  const writer = await Writer.open(
    { ...deps, clock, onNews: (news) => hints.tell(news) },
    { ...connect, name: "sallyport writer", statementMs: writeMs, patienceMs },
  );
  held.move();
  return new PostgresStore({ writer, reader, hints, clock }, { queueCap });
}

async function prepare(connect: ConnectionOptions): Promise<void> {
  await using connection = await Connection.open({ ...connect, statementMs: migrationMs });
  try {
    await migrate(connection, connect.schema);
  } catch (error) {
    throw storeError(error);
  }
}
