import { SallyportError } from "../../errors.ts";
import type { Db } from "./database.ts";
import { toThrown } from "./errors.ts";
import type { Call, Operation, Operations, Reply } from "./rpc.ts";

/**
 * Runs calls in one transaction, each in a savepoint of its own: one that fails undoes itself and none of its neighbours. Returns
 * once the commit is on disk. When the transaction as a whole fails, each call is tried alone, so only those fail that have to.
 */
export function commitTogether(db: Db, operations: Operations, calls: readonly Call[]): Reply[] {
  try {
    return db.transaction("BEGIN IMMEDIATE", () => calls.map((call) => inSavepoint(db, operations, call)));
  } catch (error) {
    const [only] = calls;
    if (calls.length === 1 && only !== undefined) return [{ id: only.id, error: toThrown(error) }];
    return calls.flatMap((call) => commitTogether(db, operations, [call]));
  }
}

function inSavepoint(db: Db, operations: Operations, call: Call): Reply {
  db.run("SAVEPOINT op");
  try {
    const reply = { id: call.id, value: find(operations, call.op)(db, call.args as never, []) };
    db.run("RELEASE op");
    return reply;
  } catch (error) {
    // A full disk ends the whole transaction, and what the neighbours did in it.
    if (!db.inTransaction) throw error;
    db.run("ROLLBACK TO op");
    db.run("RELEASE op");
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
