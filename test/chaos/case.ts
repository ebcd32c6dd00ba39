/** A history, sorted the ways the invariants ask for it. */
import type { Violation, Invariant } from "./checker.ts";
import type { Entry, EntryOf, EntryType, History, JobPlan } from "./history.ts";

/** One command of one attempt, as the worker process ran it. */
export interface Run {
  job: string;
  attempt: number;
  epoch: number;
  pid: number;
  from: number;
  /** the end of the command or of its process; infinite while neither was seen */
  to: number;
}

/** most entries shown with a violation */
const pieceEntries = 60;

export class Case {
  readonly history: History;
  readonly runs: readonly Run[];
  readonly #byJob = new Map<string, Entry[]>();
  readonly #byType = new Map<EntryType, Entry[]>();
  readonly #keyOf = new Map<string, string>();

  constructor(history: History) {
    this.history = history;
    for (const entry of history.entries) {
      push(this.#byType, entry.type, entry);
      if (entry.type === "submit" && entry.job !== undefined) this.#keyOf.set(entry.job, entry.key);
      if ("job" in entry && entry.job !== undefined) push(this.#byJob, entry.job, entry);
    }
    this.runs = this.of("start").map((start) => this.#runOf(start));
  }

  /** every entry of one type, in order */
  of<T extends EntryType>(type: T): EntryOf<T>[] {
    return (this.#byType.get(type) ?? []) as EntryOf<T>[];
  }

  /** entries about one job, in order */
  about<T extends EntryType>(job: string, type: T): EntryOf<T>[] {
    return (this.#byJob.get(job) ?? []).filter((entry): entry is EntryOf<T> => entry.type === type);
  }

  /** ids of acknowledged jobs */
  get jobs(): string[] {
    return [...this.#keyOf.keys()];
  }

  planOf(job: string): JobPlan | undefined {
    return this.history.jobs.get(this.#keyOf.get(job) ?? "");
  }

  runsOf(job: string): Run[] {
    return this.runs.filter((run) => run.job === job);
  }

  /** `ms` of [from, to] during which the process stood still, or had just been let go on */
  frozenWithin(pid: number, from: number, to: number): number {
    let [total, since] = [0, Number.NaN];
    for (const entry of this.of("process").filter((entry) => entry.pid === pid)) {
      if (entry.what === "frozen") since = entry.at;
      if (entry.what !== "frozen" && !Number.isNaN(since)) {
        total += overlap({ from: since, to: entry.at + this.history.bounds.slackMs }, { from, to });
        since = Number.NaN;
      }
    }
    return total;
  }

  violation(invariant: Invariant, about: string, message: string): Violation {
    const piece = [...(this.#byJob.get(about) ?? [])].filter(({ type }) => type !== "piece");
    const pids = new Set(piece.flatMap((entry) => ("pid" in entry ? [entry.pid] : [])));
    const [from, to] = [piece[0]?.at ?? 0, piece.at(-1)?.at ?? 0];
    const around = this.history.entries.filter(
      (entry) =>
        entry.at >= from &&
        entry.at <= to &&
        ((entry.type === "process" && (pids.has(entry.pid) || entry.name.startsWith("hub"))) ||
          entry.type === "fault"),
    );
    const all = [...piece, ...around].sort((a, b) => a.at - b.at);
    return { invariant, about, message, piece: all.slice(0, pieceEntries) };
  }

  #runOf({ job, attempt, epoch, pid, at }: EntryOf<"start">): Run {
    const end = this.about(job, "end").find(
      (entry) => entry.pid === pid && entry.epoch === epoch && entry.at >= at,
    );
    const death = this.of("process").find(
      (entry) => entry.what === "ended" && entry.pid === pid && entry.at >= at,
    );
    const to = Math.min(end?.at ?? Number.POSITIVE_INFINITY, death?.at ?? Number.POSITIVE_INFINITY);
    return { job, attempt, epoch, pid, from: at, to };
  }
}

export function overlap(a: { from: number; to: number }, b: { from: number; to: number }): number {
  return Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from));
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
