/** How large the simulated fleet is, and what is measured of it. */
import type { Shares } from "./processor-time.ts";

export const plan = {
  processes: 5,
  workers: 500,
  slots: 16,
  calm: { total: 400, concurrency: 4 },
  busy: { total: 6_000, concurrency: 64 },
  idleMs: 15_000,
} as const;

/** What something cost while it lasted, per second */
export interface Load {
  /** processors */
  shares: Shares;
  transactions: number;
  rows: number;
  walMb: number;
}

export interface Filled {
  held: number;
  seconds: number;
  /** with a job in every slot */
  load: Load;
}

export interface Measured {
  atRest: Load;
  atWork: Load;
  restMb: number;
  fullMb: number;
  /** `ms` from record to lease */
  calmJobs: readonly number[];
  busyJobs: readonly number[];
  /** jobs/s */
  rate: number;
  fill: Filled;
}
