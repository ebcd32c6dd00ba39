/** The jobs of one run: each launched, timed and kept, and all of them stopped together. */
import { SallyportError } from "../errors.ts";
import type { Clock, JobEnd, JobRecord, JobWatch, Target } from "./contract.ts";

/** The part of a record that is known while its job runs */
type Timed = Omit<JobRecord, "finishedAt" | "failure" | "message" | "end">;

export class Jobs {
  /** Those that are over, in the order they ended */
  readonly records: JobRecord[] = [];
  readonly #target: Target;
  readonly #clock: Clock;
  readonly #leave: AbortSignal;
  readonly #active = new Set<Timed>();
  #stopping = false;

  /** `leave` gives up what is outstanding; nothing is waited for any more. */
  constructor(deps: { target: Target; clock: Clock }, leave: AbortSignal) {
    this.#target = deps.target;
    this.#clock = deps.clock;
    this.#leave = leave;
  }

  get outstanding(): number {
    return this.#active.size;
  }

  /** Never rejects; resolves with whether the hub answered at all. */
  readonly launch = async (index: number, scheduledAt: number): Promise<boolean> => {
    const job: Timed = {
      index,
      id: null,
      scheduledAt,
      sentAt: this.#clock.now(),
      queuedAt: null,
      leasedAt: null,
      startedAt: null,
      firstByteAt: null,
    };
    this.#active.add(job);
    let seenEnd: number | undefined;
    const watch = this.#watch(job, () => (seenEnd ??= this.#clock.now()));
    try {
      const end = await this.#target.run(watch, this.#leave);
      const { timings, usage, calls } = end;
      const message = end.error?.message ?? null;
      this.#over(job, {
        finishedAt: seenEnd,
        failure: failureOf(end),
        message,
        end: { timings, usage, calls },
      });
      return true;
    } catch (error) {
      const { code, message } = this.#leave.aborted
        ? { code: "left", message: "given up" }
        : SallyportError.from(error);
      this.#over(job, { finishedAt: undefined, failure: code, message, end: null });
      return code !== "hub_unreachable";
    } finally {
      this.#active.delete(job);
    }
  };

  /** Cancels what is outstanding and what is still being accepted; its results come as those of other jobs do. */
  cancelAll(): void {
    this.#stopping = true;
    for (const { id } of this.#active) if (id !== null) this.#cancel(id);
  }

  #cancel(id: string): void {
    // A job that cannot be cancelled is one whose result is waited for, or given up.
    this.#target.cancel(id).catch(() => undefined);
  }

  #watch(job: Timed, finished: () => void): JobWatch {
    return {
      accepted: (id) => {
        job.id = id;
        if (this.#stopping) this.#cancel(id);
      },
      saw: (event) => {
        const field = event === "finished" ? finished() : fieldOf[event];
        if (field !== undefined) job[field] ??= this.#clock.now();
      },
    };
  }

  #over(
    { index, id, scheduledAt, sentAt, queuedAt, leasedAt, startedAt, firstByteAt }: Timed,
    { finishedAt = this.#clock.now(), failure, message, end }: Ending,
  ): void {
    const times = { scheduledAt, sentAt, queuedAt, leasedAt, startedAt, firstByteAt, finishedAt };
    this.records.push({ index, id, ...times, failure, message, end });
  }
}

type Ending = Pick<JobRecord, "failure" | "message" | "end"> & { finishedAt: number | undefined };

const fieldOf: Readonly<Record<string, "queuedAt" | "leasedAt" | "startedAt" | "firstByteAt">> = {
  queued: "queuedAt",
  leased: "leasedAt",
  started: "startedAt",
  stdout: "firstByteAt",
  stderr: "firstByteAt",
};

/** Why a result is no success, in few words, so that equal failures count as one. */
function failureOf({ state, reason, exitCode, signal, error }: JobEnd): string | null {
  if (state === "succeeded") return null;
  if (reason === "exited") return `exited ${exitCode}`;
  if (reason === "signaled") return `signaled ${signal}`;
  return error === null ? reason : `${reason}: ${error.code}`;
}
