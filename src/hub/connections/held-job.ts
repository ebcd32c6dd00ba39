import type { HubChannel } from "../../channel/index.ts";
import { SallyportError } from "../../errors.ts";
import type { JobSpec, LeaseRef } from "../../protocol/index.ts";
import type { Claim } from "../../store/index.ts";
import { persist } from "./persist.ts";
import { StdinFeed } from "./stdin.ts";

/** What is asked of a spec while its job runs. Its code, arguments and variables, which may be large, are the worker's alone. */
type HeldSpec = Pick<JobSpec, "profile" | "timeoutMs" | "artifacts" | "artifactBytes">;

/** A job one connected worker runs. */
export class HeldJob {
  readonly lease: LeaseRef;
  readonly spec: HeldSpec;
  /** bytes of files and stdin text that the worker is sent */
  readonly inputBytes: number;
  /** monotonic `ms` by which the job must have ended by itself; null before its command runs */
  deadlineAt: number | null = null;
  /** the worker was told that the job is its own */
  confirmed = false;
  /** the worker was told that the deadline passed */
  overdue = false;
  readonly #over = new AbortController();
  #stdin: StdinFeed | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(claim: Pick<Claim, "lease" | "spec">) {
    const { profile, timeoutMs, artifacts, artifactBytes, files, stdin } = claim.spec;
    this.lease = claim.lease;
    this.spec = { profile, timeoutMs, artifacts, artifactBytes };
    const text = stdin.mode === "text" ? stdin.size : 0;
    this.inputBytes = files.reduce((sum, { size }) => sum + size, text);
  }

  get jobId(): string {
    return this.lease.lease;
  }

  /** fires when this worker no longer holds the job through this connection */
  get ended(): AbortSignal {
    return this.#over.signal;
  }

  /** Resolves when everything the worker said of it so far is on disk, or never will be. */
  get recorded(): Promise<unknown> {
    return this.#last;
  }

  end(reason: SallyportError): void {
    this.#over.abort(reason);
  }

  /** The way to its stdin, opened with its first use. */
  stdin(channel: HubChannel): StdinFeed {
    this.#stdin ??= new StdinFeed(channel.open({ kind: "stdin", ...this.lease }), this.ended);
    return this.#stdin;
  }

  /**
   * Writes what the worker said of this job once everything it said before is on disk. While the store is in trouble it is tried
   * again, until the worker no longer holds the job.
   */
  record<T>(write: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => persist(write, this.ended));
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
