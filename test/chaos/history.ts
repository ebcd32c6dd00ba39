/** What happened, as clients, worker processes and the nemesis saw it. All `at` are `ms` of the one monotonic clock of the machine. */
import { appendFileSync } from "node:fs";

export type Phase = "invoke" | "ok" | "fail" | "info";

/** What a job is and does; the seed of its output is its own. */
export interface JobPlan {
  /** idempotency key, and its name in the history */
  key: string;
  seed: number;
  /** bytes on stdout; a quarter of it comes on stderr as well */
  bytes: number;
  /** how long it runs, `ms` */
  ms: number;
  exitCode: number;
  maxAttempts: number;
}

export type Entry = { at: number; wall: number } & (
  | { type: "submit"; phase: Phase; key: string; job?: string; code?: string }
  | { type: "cancel"; phase: Phase; job: string; attempts?: number; code?: string }
  /** a terminal result as somebody read it */
  | { type: "result"; job: string; result: string; by: "follower" | "poll" | "final" }
  /** a contiguous piece of output one follower was shown; `exact`: it was the job's own bytes */
  | {
      type: "piece";
      job: string;
      follower: number;
      attempt: number;
      stream: "stdout" | "stderr";
      from: number;
      to: number;
      exact: boolean;
    }
  | { type: "fault"; phase: "begin" | "end"; name: string; target: string }
  /** `ended` in `order`: by itself, when it was asked to */
  | {
      type: "process";
      what: "started" | "ended" | "frozen" | "thawed";
      name: string;
      pid: number;
      order?: boolean;
    }
  /** a worker process was offered a lease; really started or ended a command; made or removed a sandbox */
  | { type: "offered" | "start" | "end"; job: string; attempt: number; epoch: number; pid: number }
  | { type: "made" | "removed"; job: string; sandbox: string; pid: number }
  | { type: "final"; job: string; key: string; view: FinalView | null }
  | { type: "left"; what: string; where: string }
);
export type EntryType = Entry["type"];
export type EntryOf<T extends EntryType> = Entry & { type: T };
export type News = Entry extends infer E ? (E extends Entry ? Omit<E, "at" | "wall"> : never) : never;

/** What the hub says of a job when everything is quiet. */
export interface FinalView {
  state: string;
  attempts: { attempt: number; reason: string | null }[];
  cancelRequested: boolean;
  result: {
    reason: string;
    exitCode: number | null;
    attempt: number;
    /** wall clock `ms` */
    finishedAt: number;
    output: {
      stdoutBytes: number;
      stderrBytes: number;
      truncated: boolean;
      missing: { from: number; to: number } | null;
    };
  } | null;
  stdout: ReadStream;
  stderr: ReadStream;
}

export interface ReadStream {
  length: number;
  /** position of the first wrong byte; -1 when all are right */
  wrongAt: number;
}

/** Bounds the run was held to, `ms`. */
export interface Bounds {
  heartbeatMs: number;
  leaseMs: number;
  selfStopMs: number;
  offerMs: number;
  graceMs: number;
  /** what a busy machine may add to any of them */
  slackMs: number;
}

export interface History {
  seed: number;
  bounds: Bounds;
  jobs: ReadonlyMap<string, JobPlan>;
  entries: readonly Entry[];
}

/** `ms` of the machine's monotonic clock, the same in every process */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/** Writes down what happens, in memory and, where told, in a file as well. */
export class Recorder {
  readonly entries: Entry[] = [];
  readonly #file: string | undefined;

  constructor(file?: string) {
    this.#file = file;
  }

  note(news: News): void {
    const entry: Entry = { at: monotonicMs(), wall: Date.now(), ...news };
    this.entries.push(entry);
    if (this.#file !== undefined) appendFileSync(this.#file, `${JSON.stringify(entry)}\n`);
  }

  /** What other processes wrote down takes its place by its time. */
  merge(others: readonly Entry[]): void {
    this.entries.push(...others);
    this.entries.sort((a, b) => a.at - b.at);
  }
}
