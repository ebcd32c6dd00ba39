/** What the two threads of a store are sent and answer. */
import type { Db } from "./database.ts";
import type { ThrownError } from "./errors.ts";

/** One operation: its rows in, its answer out. Buffers pushed to `transfer` go to the caller instead of being copied. */
export type Operation = (db: Db, args: never, transfer: ArrayBuffer[]) => unknown;
export type Operations = Readonly<Record<string, Operation>>;

export interface Call {
  id: number;
  op: string;
  args: unknown;
}

export type Reply = { id: number; value: unknown } | { id: number; error: ThrownError };

/** To a thread: calls that were made together with the buffers given away with them, or the wish that it finish. */
export type ToThread = { calls: Call[]; buffers: ArrayBuffer[] } | "close";

/** From a thread: that it is there, why it cannot be, or answers. */
export type FromThread = { ready: true } | { failed: ThrownError } | { replies: Reply[] };

export interface WriterData {
  path: string;
  maxBytes: number;
}

export interface ReaderData {
  path: string;
}
