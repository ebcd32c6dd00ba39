import { SallyportError } from "../../errors.ts";
import type { Db } from "./database.ts";
import { toThrown } from "./errors.ts";
import type { Call, Operation, Operations, Reply } from "./rpc.ts";

/**
 * Runs calls in one transaction. Returns once the commit is on disk. A call that fails before it changed anything leaves its
 * neighbours alone; otherwise the transaction is undone and each call is tried in one of its own, so only those fail that have to.
 */
export function commitTogether(db: Db, operations: Operations, calls: readonly Call[]): Reply[] {
  try {
    return db.transaction("BEGIN IMMEDIATE", () => calls.map((call) => replyTo(db, operations, call)));
  } catch (error) {
    const [only] = calls;
    if (calls.length === 1 && only !== undefined) return [{ id: only.id, error: toThrown(error) }];
    return calls.flatMap((call) => commitTogether(db, operations, [call]));
  }
}

function replyTo(db: Db, operations: Operations, call: Call): Reply {
  const before = db.writes;
  try {
    return { id: call.id, value: find(operations, call.op)(db, call.args as never, []) };
  } catch (error) {
    // A full disk ends the whole transaction, and what the neighbours did in it.
    if (!db.inTransaction || db.writes > before) throw error;
    return { id: call.id, error: toThrown(error) };
  }
}

/** Runs calls that only read, each on one consistent view of the rows. */
export function readEach(
  db: Db,
  operations: Operations,
  calls: readonly Call[],
  transfer: ArrayBuffer[],
): Reply[] {
  return calls.map((call) => {
    try {
      const read = (): unknown => find(operations, call.op)(db, call.args as never, transfer);
      return { id: call.id, value: db.transaction("BEGIN", read) };
    } catch (error) {
      return { id: call.id, error: toThrown(error) };
    }
  });
}

function find(operations: Operations, name: string): Operation {
  const operation = operations[name];
  if (operation === undefined) throw new SallyportError("internal", `store: no operation ${name}`);
  return operation;
}
