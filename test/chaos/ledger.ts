/** The ledger: what worker processes really did, one line each, appended whole so that a kill loses nothing that happened. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { monotonicMs, type Entry, type EntryOf } from "./history.ts";

type LedgerType = "offered" | "start" | "end" | "made" | "removed";
export type LedgerEntry = EntryOf<LedgerType>;
type Line = LedgerEntry extends infer E
  ? E extends LedgerEntry
    ? Omit<E, "at" | "wall" | "pid">
    : never
  : never;

export class Ledger implements Disposable {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, "a");
  }

  write(line: Line): void {
    const entry = { at: monotonicMs(), wall: Date.now(), pid: process.pid, ...line };
    writeSync(this.#fd, `${JSON.stringify(entry)}\n`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Every whole line; one that a kill cut is left out. */
export function readLedger(path: string): Entry[] {
  const text = readFileSync(path, "utf8");
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Entry);
}
