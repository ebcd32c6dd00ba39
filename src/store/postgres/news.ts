import type { HeldBy } from "../contract.ts";

/** What others are told once a transaction is committed. */
export interface News {
  /** jobs whose record or log changed */
  jobs: Set<string>;
  /** work was queued */
  queued: boolean;
  /** who is to stop a job */
  cancels: HeldBy[];
}

export function noNews(): News {
  return { jobs: new Set(), queued: false, cancels: [] };
}
