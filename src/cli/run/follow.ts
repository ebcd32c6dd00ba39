/** One job from submission to its end: its output becomes ours, our stdin its own, and Ctrl-C reaches it. */
import { abortable, deferred, linkSignals, sleep, withDeadline, type Deferred } from "../../async/index.ts";
import type { Client, JobEvent, JobRequest, JobResult } from "../../client/index.ts";
import { isError, type SallyportError } from "../../errors.ts";
import type { Context, StopSignal } from "../context.ts";
import { isClosedPipe } from "../output.ts";
import { plain } from "../table.ts";
import { feedStdin } from "./stdin.ts";

/** `result`: it ended. `stopped`: we were told to stop it, by a signal or by the reader of our stdout. */
export type Followed =
  | { end: "result"; id: string; result: JobResult }
  | { end: "stopped"; by: StopSignal | "SIGPIPE" }
  | { end: "failed"; error: unknown };

export interface FollowPlan {
  request: JobRequest;
  idempotencyKey: string | undefined;
  feedsStdin: boolean;
}

/** How long a stopped job's last output may take once it is over, in `ms` */
const lastWordsMs = 2_000;
/** How long a submission under way may take once we are told to stop, in `ms` */
const submissionMs = 5_000;
/** How long to try to cancel on a hub that does not answer, in `ms` */
const cancelMs = 30_000;
const patienceMs = 300_000;

export async function followJob(context: Context, client: Client, plan: FollowPlan): Promise<Followed> {
  const stop = deferred<Followed>();
  using leaving = linkSignals();
  using _watch = context.watchSignals((by, count) => {
    if (count > 1) leaving.abort(new Error("left"));
    stop.resolve({ end: "stopped", by });
  });
  const run = new Run(context, client, { plan, leave: leaving.signal });
  const followed = run.follow().catch((error: unknown): Followed => {
    if (isClosedPipe(error)) return { end: "stopped", by: "SIGPIPE" };
    return { end: "failed", error };
  });
  const first = await Promise.race([followed, stop.promise]);
  if (first.end === "stopped") await run.cancel(first.by === "SIGPIPE" ? undefined : followed);
  else if (first.end === "failed") await run.cancel(undefined, 0);
  leaving.abort(new Error("over"));
  return first;
}

interface RunOptions {
  plan: FollowPlan;
  /** Fires when nothing is to be waited for any more */
  leave: AbortSignal;
}

class Run {
  readonly #context: Context;
  readonly #client: Client;
  readonly #plan: FollowPlan;
  readonly #leave: AbortSignal;
  readonly #id: Deferred<string> = deferred();
  #complained = false;

  constructor(context: Context, client: Client, options: RunOptions) {
    this.#context = context;
    this.#client = client;
    this.#plan = options.plan;
    this.#leave = options.leave;
  }

  async follow(): Promise<Followed> {
    const { request, idempotencyKey, feedsStdin } = this.#plan;
    using ended = linkSignals(this.#leave);
    const { signal } = ended;
    const { id, events } = await this.#submit(request, idempotencyKey);
    const failedStdin = deferred<never>();
    if (feedsStdin) {
      const source = this.#context.stdin.open();
      feedStdin(this.#client.jobs, id, source, signal).catch((error: unknown) => {
        if (!signal.aborted) failedStdin.reject(error);
      });
    }
    try {
      const result = await Promise.race([this.#print(events), failedStdin.promise]);
      return { end: "result", id, result };
    } finally {
      ended.abort(new Error("the job is over"));
    }
  }

  /** Cancels the job if there is one; with `followed`, waits until it is over and its last output is out. */
  async cancel(followed: Promise<Followed> | undefined, insistMs = cancelMs): Promise<void> {
    try {
      const submitted = withDeadline(this.#id.promise, submissionMs, "the submission");
      const id = await abortable(submitted, this.#leave);
      await this.#insist((signal) => this.#client.jobs.cancel(id, { signal }), insistMs);
      if (followed === undefined) return;
      await Promise.race([followed, this.#over(id).then(() => sleep(lastWordsMs, this.#leave))]);
    } catch (error) {
      if (this.#leave.aborted || !isError(error)) return;
      await this.#note(`the job could not be cancelled and may still run: ${error.message}`);
    }
  }

  async #submit(request: JobRequest, idempotencyKey: string | undefined) {
    try {
      const running = await this.#client.jobs.run(request, {
        idempotencyKey,
        patienceMs,
        signal: this.#leave,
        onRetry: (failure) => this.#complain(failure),
      });
      this.#id.resolve(running.id);
      return running;
    } catch (error) {
      this.#id.reject(new Error("never submitted", { cause: error }));
      throw error;
    }
  }

  async #print(events: AsyncIterable<JobEvent>): Promise<JobResult> {
    for await (const event of events) {
      this.#complained = false;
      if (event.type === "stdout") await this.#context.stdout.write(event.bytes);
      else if (event.type === "stderr") await this.#context.stderr.write(event.bytes);
      else if (event.type === "leased" && event.attempt > 1) {
        await this.#note(`the attempt before was lost; attempt ${event.attempt} begins`);
      } else if (event.type === "gap") {
        await this.#note(`part of the output is missing: ${JSON.stringify(event.details)}`);
      } else if (event.type === "finished") return event.result;
    }
    throw new Error("the events ended without a result");
  }

  async #over(id: string): Promise<void> {
    for (;;) {
      const get = (signal: AbortSignal) => this.#client.jobs.get(id, { waitMs: 10_000, signal });
      const job = await this.#insist(get, cancelMs);
      if (job.result !== null) return;
    }
  }

  /** Tries again while the hub is away, for a while. */
  async #insist<T>(call: (signal: AbortSignal) => Promise<T>, insistMs: number): Promise<T> {
    const until = performance.now() + insistMs;
    for (;;) {
      try {
        return await call(this.#leave);
      } catch (error) {
        if (!isError(error) || !error.retryable || performance.now() > until) throw error;
        await sleep(500, this.#leave);
      }
    }
  }

  /** Once per outage. */
  #complain(failure: SallyportError): void {
    if (this.#complained) return;
    this.#complained = true;
    void this.#note(`trying again: ${failure.message}`).catch(() => undefined);
  }

  async #note(text: string): Promise<void> {
    await this.#context.stderr.line(`sallyport: ${plain(text)}`);
  }
}
