/** A process's wall clock that can be set from outside, as an operator or NTP sets a machine's. The monotonic clock goes on. */
import { createInterface } from "node:readline";

/** Every line on standard input says by how many `ms` the wall clock is ahead of the machine's from then on. */
export function followWallClock(): void {
  const machine = Date.now;
  let aheadMs = 0;
  Date.now = () => machine() + aheadMs;
  process.stdin.once("error", () => undefined);
  createInterface({ input: process.stdin }).on("line", (line) => (aheadMs = Number(line)));
  // it waits for nothing else to say
  (process.stdin as NodeJS.ReadStream & { unref(): void }).unref();
}
