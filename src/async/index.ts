export { abortable, linkSignals, throwIfAborted } from "./abort.ts";
export { Backoff, type BackoffOptions } from "./backoff.ts";
export { ChunkQueue } from "./chunk-queue.ts";
export { maxTimerMs, steadyNow } from "./clock.ts";
export { deadlineSignal, withDeadline } from "./deadline.ts";
export { deferred, type Deferred } from "./deferred.ts";
export { gatherWrites } from "./gather-writes.ts";
export { Notifier } from "./notifier.ts";
export { sleep } from "./sleep.ts";
