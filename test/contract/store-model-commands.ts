/** What is done to the store and to the model alike, each time with a look at whether they still agree. */
import assert from "node:assert/strict";
import type * as fc from "fast-check";
import { isError } from "../../src/errors.ts";
import type { Store } from "../../src/store/index.ts";
import type { StoreHome } from "../helpers/store.ts";
import { pick, pools, toHeld, told, workers } from "./store-model-values.ts";
import type { Model, ModelJob } from "./store-model.ts";

interface Real {
  home: StoreHome;
  store: Store;
}

/** One call, planned on the model at the moment it is made. */
export interface Step {
  text: string;
  plan(model: Model): { expected: unknown; call(store: Store): Promise<unknown> };
}

/** Makes its calls all at once; each must answer as if they came one by one in this order. */
export class Together implements fc.AsyncCommand<Model, Real> {
  readonly #steps: readonly Step[];

  constructor(steps: readonly Step[]) {
    this.#steps = steps;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    model.now += 10;
    const calls = this.#steps.map((step) => {
      const planned = step.plan(model);
      return { text: step.text, expected: planned.expected, actual: answered(planned.call(real.store)) };
    });
    for (const { text, expected, actual } of calls) assert.deepEqual(await actual, expected, text);
    await agree(model, real.store);
  }

  toString(): string {
    return this.#steps.map(({ text }) => text).join(" & ");
  }
}

/** A refusal is an answer, too. */
async function answered(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    if (isError(error)) return error.code;
    throw error;
  }
}

export class OpenSession implements fc.AsyncCommand<Model, Real> {
  readonly #worker: string;
  readonly #boot: string;
  readonly #forgets: number;

  constructor(worker: number, boot: number, forgets: number) {
    this.#worker = pick(workers, worker);
    this.#boot = `b${boot}`;
    this.#forgets = forgets;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, { store }: Real): Promise<void> {
    model.now += 10;
    const held = told(model, this.#forgets);
    const until = model.now + 100;
    const { id, verdicts } = await store.leases.openSession({
      workerId: this.#worker,
      bootId: this.#boot,
      turn: 0,
      hubId: "h",
      held: held.map(toHeld),
      leaseUntil: until,
      now: model.now,
    });
    assert.equal(model.sessions.has(id), false);
    assert.deepEqual(
      verdicts,
      model.openSession(id, { worker: this.#worker, boot: this.#boot, until }, held),
    );
    await agree(model, store);
  }

  toString(): string {
    return `open(${this.#worker}, ${this.#boot}, ${this.#forgets})`;
  }
}

export class Crash implements fc.AsyncCommand<Model, Real> {
  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    await real.home.crash();
    real.store = await real.home.open();
    await agree(model, real.store);
  }

  toString(): string {
    return "crash";
  }
}

/** Everything a client could see is as the model says. */
async function agree(model: Model, store: Store): Promise<void> {
  const { jobs } = await store.jobs.list({ limit: 500 });
  const seen = jobs.map((job) => ({
    id: job.id,
    state: job.state,
    cancelRequested: job.cancelRequested,
    reason: job.result?.reason ?? null,
    attempts: job.attempts.map(({ epoch, workerId, reason, logEnd }) => ({
      epoch,
      workerId,
      reason,
      logEnd,
    })),
  }));
  const expected = [...model.jobs.values()].toReversed().map((job: ModelJob) => ({
    id: job.id,
    state: job.state === "offered" ? "queued" : job.state,
    cancelRequested: job.cancelRequested,
    reason: job.reason,
    attempts: job.attempts.map(({ epoch, worker, reason, log }) => ({
      epoch,
      workerId: worker,
      reason,
      logEnd: log.length,
    })),
  }));
  assert.deepEqual(seen, expected);
  const waiting = new Map((await store.leases.pools()).map(({ pool, queued }) => [pool, queued]));
  for (const { pool } of pools) assert.equal(waiting.get(pool) ?? 0, model.waiting(pool).length, pool);
}
