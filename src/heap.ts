import { setFlagsFromString } from "node:v8";

/**
 * Makes V8 let go of passing buffers early, for a process that much streams through; called once, at its start. V8 counts dead
 * buffers against a limit near its heap's size and marks the whole heap when they reach it, many times a second. A small young
 * generation is scavenged before that, at a fraction of a millisecond, and a limit well above the heap leaves room for it.
 */
export function keepBuffersShortLived(): void {
  setFlagsFromString("--scavenger-max-new-space-capacity-mb=2");
  setFlagsFromString("--semi-space-growth-factor=1");
  // so small a generation is scavenged sooner by one thread than others could be woken to help
  setFlagsFromString("--no-parallel-scavenge");
  setFlagsFromString("--heap-growing-percent=50");
}
