/** SQLite's own result codes (https://sqlite.org/rescode.html) as ours. */
import { SallyportError, type ErrorCode, type WireError } from "../../errors.ts";

const codes = new Map<number, ErrorCode>([
  [5, "store_unavailable"], // SQLITE_BUSY
  [7, "store_unavailable"], // SQLITE_NOMEM
  [8, "store_unavailable"], // SQLITE_READONLY
  [10, "store_unavailable"], // SQLITE_IOERR
  [11, "store_corrupt"], // SQLITE_CORRUPT
  [13, "store_full"], // SQLITE_FULL
  [14, "store_unavailable"], // SQLITE_CANTOPEN
  [15, "store_unavailable"], // SQLITE_PROTOCOL
  [26, "store_corrupt"], // SQLITE_NOTADB
]);

const fixes: Partial<Record<ErrorCode, string>> = {
  store_full: "free space on the disk of the state folder; the store goes on by itself",
  store_corrupt: "restore the state folder from a backup, or move it away to start with an empty one",
};

/** Passes our own errors through; SQLite's are told by code, anything else is `internal`. */
export function storeError(error: unknown): SallyportError {
  if (error instanceof SallyportError) return error;
  const errcode = sqliteCode(error);
  const code = errcode === undefined ? undefined : codes.get(errcode & 0xff);
  const message = error instanceof Error ? error.message : String(error);
  if (code === undefined) return new SallyportError("internal", `store: ${message}`, { cause: error });
  const fix = fixes[code];
  return new SallyportError(code, `store: ${message}`, {
    details: { errcode, ...(fix === undefined ? {} : { fix }) },
    cause: error,
  });
}

export function isBusy(error: unknown): boolean {
  return ((sqliteCode(error) ?? 0) & 0xff) === 5;
}

/** An error on its way between two threads, with the stack of where it was thrown. */
export interface ThrownError extends WireError {
  trace: string | undefined;
}

export function toThrown(error: unknown): ThrownError {
  const known = storeError(error);
  const origin = known.cause instanceof Error ? known.cause : known;
  return { ...known.toWire(), trace: known.code === "internal" ? origin.stack : undefined };
}

export function fromThrown(thrown: ThrownError): SallyportError {
  const { code, message, details = {}, trace } = thrown;
  return new SallyportError(code, message, { details, ...(trace === undefined ? {} : { cause: trace }) });
}

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode : undefined;
}
