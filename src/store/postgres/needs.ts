/** What rows a call decides on. */
export interface Needs {
  /** ids of jobs: their rows while they are open, and their attempts */
  jobs?: readonly string[];
  /** ids of jobs whose whole record is wanted, over or not */
  records?: readonly string[];
  /** worker sessions, with every job they were given */
  sessions?: readonly string[];
  /** workers, with every job of their sessions */
  workers?: readonly string[];
  /** every session whose lease is over at this time by the caller's clock */
  expiredAt?: number;
  /** id of a job that may leave while it waits: what its tenant's turns hang on */
  leaver?: string;
  newJob?: { id: string; tenant: string; key: string | null; pool: string };
  /** the first in a pool's queue, for a session that must not be over */
  claim?: { pool: string; sessionId: string; limit: number };
}

export interface AllNeeds {
  jobs: string[];
  records: string[];
  sessions: string[];
  workers: string[];
  expiredAt: number | null;
  leavers: string[];
  newJobs: NonNullable<Needs["newJob"]>[];
  claims: NonNullable<Needs["claim"]>[];
}

export function gather(needs: readonly Needs[]): AllNeeds {
  const expiries = needs.flatMap(({ expiredAt }) => expiredAt ?? []);
  return {
    jobs: unique(needs.flatMap(({ jobs = [] }) => jobs)),
    records: unique(needs.flatMap(({ records = [] }) => records)),
    sessions: unique(needs.flatMap(({ sessions = [] }) => sessions)),
    workers: unique(needs.flatMap(({ workers = [] }) => workers)),
    expiredAt: expiries.length === 0 ? null : Math.max(...expiries),
    leavers: unique(needs.flatMap(({ leaver }) => leaver ?? [])),
    newJobs: needs.flatMap(({ newJob }) => newJob ?? []),
    claims: needs.flatMap(({ claim }) => claim ?? []),
  };
}

function unique(ids: readonly string[]): string[] {
  return [...new Set(ids)];
}
