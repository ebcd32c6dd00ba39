import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../../src/async/index.ts";
import type { SallyportError } from "../../../src/errors.ts";
import { silentLog } from "../../../src/log.ts";
import { live } from "../../../src/roles/life.ts";

/** A role whose drain ends only when it is told so, and a hand on the signals it gets. */
function living(): {
  signal: () => void;
  drained: () => void;
  reasons: SallyportError[];
  start: (drainMs?: number) => Promise<number>;
} {
  let [count, listener] = [0, (_signal: string, _count: number): void => undefined];
  const over = deferred<void>();
  const reasons: SallyportError[] = [];
  const role = {
    over: over.promise,
    drain: () => over.promise,
    abort: (reason: SallyportError) => {
      reasons.push(reason);
      over.resolve();
    },
  };
  const watchSignals = (heard: typeof listener): Disposable => {
    listener = heard;
    return { [Symbol.dispose]: () => undefined };
  };
  return {
    signal: () => listener("SIGTERM", (count += 1)),
    drained: () => over.resolve(),
    reasons,
    start: (drainMs) => live(role, { host: { watchSignals }, log: silentLog(), drainMs: drainMs ?? null }),
  };
}

test("a role that is drained ends with 0, also well before its time is over", async () => {
  const role = living();
  const code = role.start(60_000);
  role.signal();
  role.drained();
  assert.equal(await code, 0);
  assert.deepEqual(role.reasons, []);
});

test("a second signal aborts, and so does the end of the drain's time: both end with 3", async () => {
  const twice = living();
  const first = twice.start();
  twice.signal();
  twice.signal();
  assert.equal(await first, 3);
  assert.equal(twice.reasons[0]?.code, "shutting_down");
  const late = living();
  const second = late.start(1);
  late.signal();
  assert.equal(await second, 3);
  assert.equal(late.reasons[0]?.code, "deadline_exceeded");
});
