import { Notifier } from "../../async/index.ts";
import type { JobRecord, JobStore } from "../../store/index.ts";
import type { LogTail } from "./log-tail.ts";

/** What readers and the connection that feeds them share about one job while somebody looks at it or writes its log. */
export class LiveJob {
  readonly id: string;
  /** fires when the record or the log may have changed */
  readonly changed = new Notifier();
  /** of the attempt whose log comes in */
  tail: LogTail | undefined;
  readers = 0;
  readonly #jobs: JobStore;
  #record: Promise<JobRecord | null> | undefined;

  constructor(deps: { jobs: JobStore }, options: { id: string }) {
    this.id = options.id;
    this.#jobs = deps.jobs;
  }

  /** The job as last recorded; null when there is none. */
  record(): Promise<JobRecord | null> {
    if (this.#record !== undefined) return this.#record;
    const loading = this.#jobs.get(this.id);
    this.#record = loading;
    loading.catch(() => this.touch());
    return loading;
  }

  /** Takes a record that was read in this very turn, so nothing can have changed since. */
  seed(record: JobRecord): void {
    this.#record ??= Promise.resolve(record);
  }

  /** The record changed; the next reader asks the store. */
  touch(): void {
    this.#record = undefined;
    this.changed.notify();
  }

  /** The record changed in a known way; nobody needs to ask the store. */
  patch(change: (record: JobRecord) => JobRecord): void {
    const patched = this.#record?.then((record) => record && change(record));
    patched?.catch(() => undefined);
    this.#record = patched;
    this.changed.notify();
  }
}
