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
  newJob?: { id: string; tenant: string; key: string | null };
}

export interface AllNeeds {
  jobs: string[];
  records: string[];
  sessions: string[];
  workers: string[];
  expiredAt: number | null;
  newJobs: { id: string; tenant: string; key: string | null }[];
}

export function gather(needs: readonly Needs[]): AllNeeds {
  const expiries = needs.flatMap(({ expiredAt }) => expiredAt ?? []);
  return {
    jobs: unique(needs.flatMap(({ jobs = [] }) => jobs)),
    records: unique(needs.flatMap(({ records = [] }) => records)),
    sessions: unique(needs.flatMap(({ sessions = [] }) => sessions)),
    workers: unique(needs.flatMap(({ workers = [] }) => workers)),
    expiredAt: expiries.length === 0 ? null : Math.max(...expiries),
    newJobs: needs.flatMap(({ newJob }) => newJob ?? []),
  };
}

function unique(ids: readonly string[]): string[] {
  return [...new Set(ids)];
}
