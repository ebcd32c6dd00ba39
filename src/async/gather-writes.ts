import type { Writable } from "node:stream";

/** What the rest of this turn writes to the stream leaves together, with one system call. To be called before each write. */
export function gatherWrites(stream: Writable): void {
  if (stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}
