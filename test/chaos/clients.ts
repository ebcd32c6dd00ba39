/** Clients that submit, cancel, follow and poll through everything that happens, and note what they were told. */
import { sleep } from "../../src/async/index.ts";
import type { Client, JobEvent, JobView } from "../../src/client/index.ts";
import { SallyportError } from "../../src/errors.ts";
import type { Cluster } from "./cluster.ts";
import type { FinalView, JobPlan, Recorder, ReadStream } from "./history.ts";
import { firstDifference, stderrSeed } from "./known-bytes.ts";
import type { ClientPlan } from "./plan.ts";

/** longest wait for one answer, `ms` */
const answerMs = 4_000;
const retryMs = 300;
const pollMs = 1_500;
/** jobs read back at a time */
const readers = 8;

export type CommandOf = (plan: JobPlan) => string[];

export interface Submitted {
  job: string;
  plan: ClientPlan;
}

export class Clients {
  readonly #cluster: Cluster;
  readonly #recorder: Recorder;
  readonly #commandOf: CommandOf;
  readonly #over: AbortSignal;
  readonly submitted: Submitted[] = [];
  /** jobs known to be over */
  readonly ended = new Set<string>();
  #followers = 0;

  constructor(deps: { cluster: Cluster; recorder: Recorder; commandOf: CommandOf }, over: AbortSignal) {
    this.#cluster = deps.cluster;
    this.#recorder = deps.recorder;
    this.#commandOf = deps.commandOf;
    this.#over = over;
  }

  /** Resolves once every planned client has seen its job end, or `over` fired. */
  async run(plans: readonly ClientPlan[]): Promise<void> {
    const from = performance.now();
    await Promise.all(
      plans.map(async (plan) => {
        await sleep(Math.max(0, from + plan.at - performance.now()), this.#over).catch(() => undefined);
        if (!this.#over.aborted) await this.#live(plan);
      }),
    );
  }

  async #live(plan: ClientPlan): Promise<void> {
    const [job] = await Promise.all([this.#submit(plan, 0), ...(plan.twice ? [this.#submit(plan, 1)] : [])]);
    if (job === undefined) return;
    this.submitted.push({ job, plan });
    await Promise.all([this.#cancel(job, plan), this.#follow(job, plan), this.#poll(job, plan)]);
  }

  /** Asks again under the same key until it is told yes or no; undefined when it never was, or was told no. */
  async #submit(plan: ClientPlan, turn: number): Promise<string | undefined> {
    const { key, maxAttempts } = plan.job;
    const request = { profile: "chaos", command: this.#commandOf(plan.job), retry: { maxAttempts } };
    for (let hub = plan.hub + turn; !this.#over.aborted; hub += 1) {
      this.#recorder.note({ type: "submit", phase: "invoke", key });
      try {
        const options = { idempotencyKey: key, signal: AbortSignal.timeout(answerMs) };
        const { id } = await this.#client(hub).jobs.submit(request, options);
        this.#recorder.note({ type: "submit", phase: "ok", key, job: id });
        return id;
      } catch (error) {
        const { code, retryable } = toError(error);
        this.#recorder.note({ type: "submit", phase: retryable ? "info" : "fail", key, code });
        if (!retryable) return undefined;
      }
      await this.#pause(retryMs);
    }
    return undefined;
  }

  async #cancel(job: string, plan: ClientPlan): Promise<void> {
    if (plan.cancelAfterMs === null) return;
    await this.#pause(plan.cancelAfterMs);
    for (let hub = plan.hub; !this.#over.aborted; hub += 1) {
      this.#recorder.note({ type: "cancel", phase: "invoke", job });
      try {
        const view = await this.#client(hub).jobs.cancel(job, { signal: AbortSignal.timeout(answerMs) });
        // one that waits is over with its cancel: this one is on offer, and may be starting
        const offered = view.cancelRequested && view.state === "queued" ? 1 : 0;
        this.#recorder.note({ type: "cancel", phase: "ok", job, attempts: view.attempts.length + offered });
        this.#seen(job, view, "poll");
        return;
      } catch (error) {
        const { code, retryable } = toError(error);
        this.#recorder.note({ type: "cancel", phase: retryable ? "info" : "fail", job, code });
        if (!retryable) return;
      }
      await this.#pause(retryMs);
    }
  }

  async #follow(job: string, plan: ClientPlan): Promise<void> {
    if (plan.follow === null) return;
    this.#followers += 1;
    const seen = new Follower(job, this.#followers, plan.job.seed, this.#recorder);
    for (let hub = plan.hub; !this.#over.aborted; hub += 1) {
      const most = seen.lastEventId === undefined ? plan.follow.cutAfter : Number.POSITIVE_INFINITY;
      try {
        if (await seen.watch(this.#client(hub), most, this.#over)) return;
      } catch (error) {
        const { code, retryable } = toError(error);
        if (!retryable && !this.#over.aborted) this.#left(`a follower was told ${code}`, job);
        if (!retryable) return;
        await this.#pause(retryMs);
      }
    }
  }

  async #poll(job: string, plan: ClientPlan): Promise<void> {
    for (let hub = plan.hub; !this.#over.aborted && !this.ended.has(job); hub += 1) {
      try {
        const options = { waitMs: pollMs, signal: AbortSignal.timeout(2 * answerMs) };
        this.#seen(job, await this.#client(hub).jobs.get(job, options), "poll");
      } catch (error) {
        const { code, retryable } = toError(error);
        if (!retryable) {
          this.#left(`a poll was told ${code}`, job);
          return;
        }
        await this.#pause(retryMs);
      }
    }
  }

  /** What every hub says in the end of every job that was acknowledged, with all it printed. */
  async readBack(): Promise<void> {
    const left = this.#cluster.hubs.flatMap((_, hub) => this.submitted.map((one) => ({ ...one, hub })));
    const read = async (): Promise<void> => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) await this.#readJob(next);
    };
    await Promise.all(Array.from({ length: readers }, read));
  }

  async #readJob({ job, plan, hub }: Submitted & { hub: number }): Promise<void> {
    const view = await finalView(this.#client(hub), job, plan.job.seed).catch((error: unknown) => {
      this.#left(`the final reading failed: ${toError(error).code}`, job);
      return null;
    });
    this.#recorder.note({ type: "final", job, key: plan.job.key, view: view?.final ?? null });
    if (view !== null) this.#seen(job, view.view, "final");
  }

  #seen(job: string, view: JobView, by: "poll" | "final"): void {
    if (view.result === null) return;
    this.ended.add(job);
    this.#recorder.note({ type: "result", job, result: JSON.stringify(view.result), by });
  }

  #left(what: string, where: string): void {
    this.#recorder.note({ type: "left", what, where });
  }

  #client(hub: number): Client {
    return this.#cluster.client(hub);
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, this.#over).catch(() => undefined);
  }
}

/** Turns the events of one follower into contiguous pieces of output. */
class Follower {
  readonly #job: string;
  readonly #id: number;
  readonly #seed: number;
  readonly #recorder: Recorder;
  #attempt = 0;
  lastEventId: string | undefined;

  constructor(job: string, id: number, seed: number, recorder: Recorder) {
    this.#job = job;
    this.#id = id;
    this.#seed = seed;
    this.#recorder = recorder;
  }

  /** Goes on where it was, for `most` events; true once the job is over. */
  async watch(client: Client, most: number, signal: AbortSignal): Promise<boolean> {
    const from = this.lastEventId === undefined ? {} : { lastEventId: this.lastEventId };
    let left = most;
    for await (const event of client.jobs.events(this.#job, { ...from, patienceMs: answerMs, signal })) {
      this.lastEventId = event.id;
      this.#note(event);
      left -= 1;
      if (event.type === "finished" || left <= 0) return event.type === "finished";
    }
    return true;
  }

  #note(event: JobEvent): void {
    if (event.type === "leased") this.#attempt = event.attempt;
    if (event.type === "stdout" || event.type === "stderr") {
      const { type: stream, offset: from, bytes } = event;
      const seed = stream === "stdout" ? this.#seed : stderrSeed(this.#seed);
      const exact = firstDifference(seed, from, bytes) === -1;
      const [job, follower, attempt] = [this.#job, this.#id, this.#attempt];
      const to = from + bytes.length;
      this.#recorder.note({ type: "piece", job, follower, attempt, stream, from, to, exact });
    }
    if (event.type === "finished") {
      const result = JSON.stringify(event.result);
      this.#recorder.note({ type: "result", job: this.#job, result, by: "follower" });
    }
  }
}

async function finalView(
  client: Client,
  job: string,
  seed: number,
): Promise<{ view: JobView; final: FinalView }> {
  const signal = AbortSignal.timeout(3 * answerMs);
  const view = await client.jobs.get(job, { signal });
  const stdout = await readStream(await client.jobs.stdout(job, { signal }), seed);
  const stderr = await readStream(await client.jobs.stderr(job, { signal }), stderrSeed(seed));
  const { state, cancelRequested, attempts, result } = view;
  const final: FinalView = {
    state,
    cancelRequested,
    attempts: attempts.map(({ attempt, reason }) => ({ attempt, reason })),
    result: result === null ? null : { ...result, finishedAt: Date.parse(result.finishedAt) },
    stdout,
    stderr,
  };
  return { view, final };
}

async function readStream(chunks: AsyncIterable<Uint8Array>, seed: number): Promise<ReadStream> {
  let [length, wrongAt] = [0, -1];
  for await (const bytes of chunks) {
    if (wrongAt === -1) wrongAt = firstDifference(seed, length, bytes);
    length += bytes.length;
  }
  return { length, wrongAt };
}

/** A time that ran out on our side leaves the answer unknown, which is worth another try. */
function toError(error: unknown): { code: string; retryable: boolean } {
  if (error instanceof DOMException) return { code: error.name, retryable: true };
  const { code, retryable } = SallyportError.from(error);
  return { code, retryable };
}
