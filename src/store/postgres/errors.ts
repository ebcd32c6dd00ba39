/** What PostgreSQL says went wrong (https://www.postgresql.org/docs/current/errcodes-appendix.html), as ours. */
import { SallyportError, type ErrorCode } from "../../errors.ts";

/** SQLSTATE, or its class of two characters, to our code. The longer one counts. */
const codes = new Map<string, ErrorCode>([
  ["08", "store_unavailable"], // connection exception
  ["22", "request_invalid"], // data exception: a value no column can hold
  ["25", "store_unavailable"], // 25006 among them: a standby, or a primary that became one
  ["28", "store_unavailable"], // invalid authorization
  ["3D", "store_unavailable"], // no such database
  ["40", "store_unavailable"], // rolled back: deadlock, serialization
  ["42501", "store_unavailable"], // insufficient privilege
  ["53", "store_unavailable"], // insufficient resources: memory, connections
  ["53100", "store_full"], // disk full
  ["53400", "store_full"], // configuration limit exceeded
  ["54", "request_invalid"], // program limit exceeded: a value too large
  ["55", "store_unavailable"], // not in prerequisite state; lock not available
  ["57", "store_unavailable"], // operator intervention: shut down, cancelled, starting
  ["58", "store_unavailable"], // I/O
  ["58P01", "store_corrupt"], // a file of the database is gone
  ["XX001", "store_corrupt"],
  ["XX002", "store_corrupt"],
]);

const fixes: Partial<Record<ErrorCode, string>> = {
  store_full: "free space on the database's disk; the store goes on by itself",
  store_corrupt: "restore the database from a backup",
};

/** Passes our own errors through. An error without a SQLSTATE is the connection's, and passes with it. */
export function storeError(error: unknown): SallyportError {
  if (error instanceof SallyportError) return error;
  const sqlstate = sqlstateOf(error);
  const code = sqlstate === undefined ? codeOfOther(error) : (codeOf(sqlstate) ?? codeOfUnknown(error));
  const message = error instanceof Error ? error.message : String(error);
  const fix = fixes[code];
  const details = { ...(sqlstate === undefined ? {} : { sqlstate }), ...(fix === undefined ? {} : { fix }) };
  return new SallyportError(code, `store: ${message}`, { details, cause: error });
}

/** A transaction that lost to another one, and that may win when it is made again: a deadlock, or a row both wanted to be first with. */
export function isContention(error: unknown): boolean {
  const sqlstate = sqlstateOf(error);
  return sqlstate !== undefined && (sqlstate.startsWith("40") || sqlstate === "23505");
}

/** The server ended the connection, or never had one; what a transaction did that was under way is not known by this. */
export function isLoss(error: unknown): boolean {
  const sqlstate = sqlstateOf(error);
  return sqlstate !== undefined && (sqlstate.startsWith("08") || sqlstate.startsWith("57P"));
}

function codeOf(sqlstate: string): ErrorCode | undefined {
  return codes.get(sqlstate) ?? codes.get(sqlstate.slice(0, 2));
}

/** With these the server ended the connection, or never made one: it cannot go on, for whatever reason. */
function codeOfUnknown(error: unknown): ErrorCode {
  const severity = error instanceof Error && "severity" in error ? error.severity : undefined;
  return severity === "FATAL" || severity === "PANIC" ? "store_unavailable" : "internal";
}

function codeOfOther(error: unknown): ErrorCode {
  return error instanceof TypeError || error instanceof RangeError ? "internal" : "store_unavailable";
}

function sqlstateOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  // no class begins with E, as the system's own codes do (EPIPE)
  return typeof error.code === "string" && /^(?!E)[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined;
}
