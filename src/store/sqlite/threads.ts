import type { Reads } from "./reads/index.ts";
import type { Thread } from "./thread.ts";
import type { Writes } from "./ops/index.ts";

/** What each part of the store works through. A read made after a write resolved sees it. */
export interface Threads {
  writer: Thread<Writes>;
  reader: Thread<Reads>;
}
