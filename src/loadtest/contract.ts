/** What one load test is, what it needs from outside, and what it keeps of each job. Times are `ms` since its start. */

/** When jobs arrive. What is not bounded is `Infinity`. */
export interface Load {
  /** Closed loop: callers. Open loop: most jobs outstanding; arrivals beyond it wait here, on the clock */
  concurrency: number;
  /** jobs */
  total: number;
  /** No job arrives after this, `ms` */
  durationMs: number;
  /** Arrivals per second whatever the answers do; null: each caller waits for its answer */
  ratePerS: number | null;
}

/** `ms` since the run's start, and waiting. */
export interface Clock {
  now(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Told what happens to one job, as it happens. */
export interface JobWatch {
  accepted(id: string): void;
  /** `queued`, `leased`, `started`, `stdout`, `stderr`, `finished`, … */
  saw(event: string): void;
}

/** How a job ended, as far as a load test looks. */
export interface JobEnd {
  state: string;
  reason: string;
  exitCode: number | null;
  signal: string | null;
  timings: { queuedMs: number; startMs: number; runMs: number; warm: boolean };
  usage: { cpuMs: number; maxRssBytes: number };
  /** MCP calls made */
  calls: number;
  error: { code: string; message: string } | null;
}

/** Where jobs go. */
export interface Target {
  /** Submits one job and follows it to its end; throws `SallyportError` when it has no result, or the signal's reason. */
  run(watch: JobWatch, signal: AbortSignal): Promise<JobEnd>;
  cancel(id: string): Promise<unknown>;
}

/** A worker as the hub tells it. */
export interface FleetWorker {
  id: string;
  version: string | null;
  /** jobs it holds, anybody's */
  held: number;
  /** warm sandboxes per profile */
  warm: Readonly<Record<string, number>>;
  profiles: readonly string[];
}

/** What workers make on the engine that this host sees. */
export interface EngineView extends AsyncDisposable {
  /** `madeAt`: wall clock, `ms` since the epoch; null for one that was there before */
  readonly seen: readonly { id: string; madeAt: number | null }[];
  readonly complete: boolean;
  inventory(): Promise<{ sandboxes: string[]; volumes: string[]; networks: string[] }>;
}

/** One job, from its arrival to its end. */
export interface JobRecord {
  index: number;
  id: string | null;
  /** When it was due: what latency is counted from */
  scheduledAt: number;
  sentAt: number;
  queuedAt: number | null;
  leasedAt: number | null;
  startedAt: number | null;
  /** First byte of stdout or stderr */
  firstByteAt: number | null;
  finishedAt: number;
  /** Null: it succeeded; else a result's reason or an error's code */
  failure: string | null;
  message: string | null;
  /** Null when it has no result */
  end: Pick<JobEnd, "timings" | "usage" | "calls"> | null;
}
