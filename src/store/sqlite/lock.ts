/** Keeps a second process, or a second store of this one, off a state folder. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SallyportError } from "../../errors.ts";
import { isBusy } from "./errors.ts";

/**
 * Holds the folder until disposed of. The hold is SQLite's own lock on a file of no content, so it ends with the process however
 * that dies; the pid beside it is only told to people. Throws `state_in_use`.
 */
export function lockFolder(dir: string): Disposable {
  const file = join(dir, "store.lock");
  const pidFile = join(dir, "store.pid");
  // Opening and closing the file while it is locked would let go of the process's lock.
  if (!existsSync(file)) writeFileSync(file, "", { mode: 0o600, flag: "a" });
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    lock.close();
    throw isBusy(error) ? inUse(dir, pidFile) : error;
  }
  return { [Symbol.dispose]: () => lock.close() };
}

function inUse(dir: string, pidFile: string): SallyportError {
  const pid = existsSync(pidFile) ? Number.parseInt(readFileSync(pidFile, "utf8"), 10) : Number.NaN;
  const holder = Number.isNaN(pid) ? "another process" : `process ${pid}`;
  return new SallyportError("state_in_use", `${dir}: ${holder} uses this state folder`, {
    details: {
      field: "state",
      ...(Number.isNaN(pid) ? {} : { pid }),
      fix: "stop that process, or name another folder",
    },
  });
}
