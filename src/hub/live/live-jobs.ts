import type { JobRecord, JobStore } from "../../store/index.ts";
import { LiveJob } from "./live-job.ts";

export interface LiveUse extends Disposable {
  readonly job: LiveJob;
}

/** The jobs somebody looks at or writes to right now; forgets each with its last user. */
export class LiveJobs {
  readonly #jobs: JobStore;
  readonly #live = new Map<string, { job: LiveJob; uses: number }>();

  constructor(deps: { jobs: JobStore }) {
    this.#jobs = deps.jobs;
  }

  get size(): number {
    return this.#live.size;
  }

  /** those somebody looks at or writes to */
  ids(): string[] {
    return [...this.#live.keys()];
  }

  /** Dispose what it returns. */
  open(id: string, role: "reader" | "writer"): LiveUse {
    let entry = this.#live.get(id);
    if (entry === undefined) {
      entry = { job: new LiveJob({ jobs: this.#jobs }, { id }), uses: 0 };
      this.#live.set(id, entry);
    }
    const { job } = entry;
    const readers = role === "reader" ? 1 : 0;
    entry.uses += 1;
    job.readers += readers;
    const close = (): void => {
      entry.uses -= 1;
      job.readers -= readers;
      if (entry.uses === 0) this.#live.delete(id);
    };
    return { job, [Symbol.dispose]: close };
  }

  /** Tells whoever looks that the job's record changed. */
  touch(id: string): void {
    this.#live.get(id)?.job.touch();
  }

  /** The job's record changed in a known way. */
  patch(id: string, change: (record: JobRecord) => JobRecord): void {
    this.#live.get(id)?.job.patch(change);
  }

  /** Every job's record may have changed, after a change whose jobs nobody named. */
  touchAll(): void {
    for (const { job } of this.#live.values()) job.touch();
  }

  /** An attempt is over: readers find the rest of its log in the store. */
  settle(id: string, record: JobRecord | null): void {
    const job = this.#live.get(id)?.job;
    if (job === undefined) return;
    job.tail = undefined;
    job.touch();
    if (record !== null) job.seed(record);
  }
}
