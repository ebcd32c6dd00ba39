/**
 * How a writer finds out whether a transaction was committed whose COMMIT was not answered. Each one leaves a mark that no other has:
 * the database's own number of it proves nothing, since one that a crash undid is given out again, and another may have it by then.
 */
import { randomUUID } from "node:crypto";
import type { Connection } from "./connection.ts";
import { isLoss } from "./errors.ts";
import { statement } from "./statement.ts";

const leave = statement(
  "leave_mark",
  `INSERT INTO marks (writer, mark) VALUES ($1, $2)
   ON CONFLICT (writer) DO UPDATE SET mark = excluded.mark, at = excluded.at
   RETURNING pg_current_xact_id()::text AS xid, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`,
);
const read = statement("read_mark", "SELECT mark FROM marks WHERE writer = $1");
const statusOf = statement("status", "SELECT pg_xact_status($1::text::xid8) AS status");
const forget = statement("forget_marks", "DELETE FROM marks WHERE at < now() - interval '1 day'");

/** One transaction, as its writer remembers it. */
export interface Marked {
  mark: number;
  xid: string;
  /** the database's clock when it began, `ms` */
  now: number;
}

export class Marks {
  readonly #writer = randomUUID();
  #last = 0;

  /** Marks the transaction that was begun on `connection`. */
  async leave(connection: Connection): Promise<Marked> {
    const mark = (this.#last += 1);
    const [left] = await connection.run<{ xid: string; now: number }>(leave, [this.#writer, mark]);
    if (left === undefined) throw new Error("the database did not begin");
    return { ...left, mark };
  }

  /** Undefined while it is still under way on a connection that was lost. */
  async isCommitted(connection: Connection, { xid, mark }: Marked): Promise<boolean | undefined> {
    if (await isUnderWay(connection, xid)) return undefined;
    // a later statement than the one above: it sees what was committed by then
    const [row] = await connection.run<{ mark: number }>(read, [this.#writer]);
    return row?.mark === mark;
  }

  /** Those of writers that are long gone. */
  static async forget(connection: Connection): Promise<void> {
    await connection.run(forget);
  }
}

async function isUnderWay(connection: Connection, xid: string): Promise<boolean> {
  try {
    const [row] = await connection.run<{ status: string | null }>(statusOf, [xid]);
    return row?.status === "in progress";
  } catch (error) {
    if (connection.lost || isLoss(error)) throw error;
    // The number is from a future this database has not: it was promoted without it.
    return false;
  }
}
