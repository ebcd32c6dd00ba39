/** What the writer is asked to do. */
import type { Connection } from "./connection.ts";
import type { DatabaseClock } from "./clock.ts";
import type { Needs } from "./needs.ts";
import type { News } from "./news.ts";
import type { Rows } from "./rows.ts";

/** Decided on rows that were read and locked with those of its neighbours, and written with them. Throws before it changes any. */
export interface RowCall<T> {
  readonly kind: "rows";
  readonly needs: Needs;
  /** true: it may put a job back into a queue, or take one out that waits */
  readonly requeues?: boolean;
  /** bytes it brings along */
  readonly size?: number;
  decide(rows: Rows): T;
}

/** Makes its own statements, in its place between the others. */
export interface DirectCall<T> {
  readonly kind: "direct";
  /** true: one statement, which may be sent before the one of its neighbour is answered */
  readonly single: boolean;
  readonly size?: number;
  run(transaction: Transaction): Promise<T>;
}

export type Call<T> = RowCall<T> | DirectCall<T>;

export interface Transaction {
  connection: Connection;
  clock: DatabaseClock;
  /** What is only read may be sent before; nothing is written, and the clock is not asked, until this is fulfilled. */
  begun: Promise<unknown>;
  news: News;
}
