/** What of the heap is held. */
import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

export const collectGarbage = runInNewContext("gc") as () => void;

/** MiB of the heap that are held once `hold` has come to its rest; what it resolves with is held with them. */
export async function heldBy(hold: () => Promise<unknown>): Promise<number> {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const held = await hold();
  collectGarbage();
  const after = process.memoryUsage().heapUsed;
  assert.notEqual(held, undefined);
  return (after - before) / 2 ** 20;
}
