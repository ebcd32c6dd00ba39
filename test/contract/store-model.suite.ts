/** Any sequence of calls, alone or many at once, with the store dying in between, leaves what the model says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError } from "../../src/errors.ts";
import type { AttemptOutcome, LeaseRef } from "../../src/protocol/index.ts";
import type { Store } from "../../src/store/index.ts";
import { attemptOutcome, logPart, newJob, type StoreEngine, type StoreHome } from "../helpers/store.ts";
import { Model, type ModelJob } from "./store-model.ts";

const tenants = [
  { tenant: "a", weight: 1 },
  { tenant: "b", weight: 2 },
];
const pools = [
  { pool: "python", labels: {} },
  { pool: 'python {"gpu":"x"}', labels: { gpu: "x" } },
];
const workers = ["w0", "w1"];
const outcomes: AttemptOutcome[] = [
  attemptOutcome(),
  attemptOutcome({ exitCode: 2 }),
  attemptOutcome({ reason: "sandbox_lost", exitCode: null }),
  attemptOutcome({
    reason: "never_started",
    exitCode: null,
    error: { code: "engine_unavailable", message: "no" },
  }),
  attemptOutcome({ reason: "cancelled", exitCode: null }),
];
const record = logPart(["stdout", "0123456789"]);

interface Real {
  home: StoreHome;
  store: Store;
}

/** One call, planned on the model at the moment it is made. */
interface Step {
  text: string;
  plan(model: Model): { expected: unknown; call(store: Store): Promise<unknown> };
}

/** Makes its calls all at once; each must answer as if they came one by one in this order. */
class Together implements fc.AsyncCommand<Model, Real> {
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

class OpenSession implements fc.AsyncCommand<Model, Real> {
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

class Crash implements fc.AsyncCommand<Model, Real> {
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

const index = fc.nat({ max: 30 });

/** What a worker would do next with a lease it was given: long ways through a job are otherwise rare. */
const nextStep = fc.tuple(index, index).map(([which, detail]): Step => ({
  text: `next(${which}, ${detail})`,
  plan: (model) => {
    const live = model.leases.filter((lease) => model.isCurrent(lease));
    const at = model.leases.indexOf(live[which % Math.max(1, live.length)] ?? pickLease(model, which));
    const lease = model.leases[at] ?? pickLease(model, which);
    const state = model.jobs.get(lease.lease)?.state ?? "";
    const name =
      state === "offered" ? "accept" : state === "leased" ? "started" : pick(["append", "finish"], detail);
    return planLease(model, name, { lease, detail: detail >> 1 });
  },
}));

/** Live ones more often than stale ones. */
const leaseSteps = fc.tuple(index, fc.nat({ max: 5 }), index).map(([which, kind, detail]): Step => {
  const names = ["release", "accept", "accept", "started", "append", "finish"];
  const name = pick(names, kind);
  return {
    text: `${name}(${which}, ${detail})`,
    plan: (model) => planLease(model, name, { lease: pickLease(model, which), detail }),
  };
});

function planLease(
  model: Model,
  name: string,
  { lease, detail }: { lease: LeaseRef; detail: number },
): ReturnType<Step["plan"]> {
  const { now } = model;
  switch (name) {
    case "release":
      return { expected: model.release(lease), call: (store) => store.leases.release(lease, now) };
    case "accept":
      return { expected: model.accept(lease), call: (store) => store.leases.accept(lease, now) };
    case "started":
      return { expected: model.started(lease), call: (store) => store.leases.started(lease, now) };
    case "append": {
      const end = model.jobs.get(lease.lease)?.attempts.at(-1)?.log.length ?? 0;
      const from = Math.max(0, end + pick([0, 0, 0, -1, 1], detail) * record.bytes.length);
      const part = logPart(["stdout", "0123456789"], ["stdout", "0123456789"]);
      return {
        expected: model.append(lease, from, Buffer.from(part.bytes)),
        call: (store) => store.log.append(lease, { from, ...part }),
      };
    }
    default: {
      const outcome = pick(outcomes, detail);
      return {
        expected: model.finish(lease, outcome),
        call: async (store) => {
          const { fenced, requeued } = await store.leases.finish(lease, outcome, now);
          return { fenced, requeued };
        },
      };
    }
  }
}

const submitStep = fc
  .tuple(index, index, index, fc.integer({ min: 0, max: 1 }))
  .map(([tenant, pool, tries, priority]): Step => ({
    text: `submit(${tenant}, ${pool}, ${tries}, ${priority})`,
    plan: (model) => {
      const from = pick(tenants, tenant);
      const to = pick(pools, pool);
      const maxAttempts = pick([1, 2], tries);
      const made = model.submit({ tenant: from.tenant, pool: to.pool, priority, maxAttempts }, from.weight);
      const spec = { labels: to.labels, priority, maxAttempts };
      const job = newJob(made.id, { ...from, spec, now: model.now });
      return { expected: true, call: async (store) => (await store.jobs.submit(job)).created };
    },
  }));

const claimStep = fc
  .tuple(index, index, fc.integer({ min: 1, max: 3 }))
  .map(([session, pool, limit]): Step => ({
    text: `claim(${session}, ${pool}, ${limit})`,
    plan: (model) => {
      const sessionId = pickSession(model, session);
      const from = pick(pools, pool).pool;
      const { now } = model;
      return {
        expected: model.claim(from, sessionId, limit),
        call: async (store) =>
          (await store.leases.claim({ pool: from, sessionId, limit, now })).map(({ lease }) => lease),
      };
    },
  }));

const sessionSteps = fc.tuple(index, fc.nat({ max: 12 }), index).map(([which, kind, detail]): Step => {
  const name = kind === 12 ? "close" : pick(["renew", "reconcile"], kind);
  return {
    text: `${name}(${which}, ${detail})`,
    plan: (model) => {
      const id = pickSession(model, which);
      const { now } = model;
      if (name === "renew") {
        const until = now + 100;
        return { expected: model.renew(id, until), call: (store) => store.leases.renew(id, until) };
      }
      if (name === "close") {
        return { expected: model.closeSession(id), call: (store) => store.leases.closeSession(id, now) };
      }
      const held = told(model, detail);
      return {
        expected: model.reconcile(id, held),
        call: (store) => store.leases.reconcile(id, held.map(toHeld), now),
      };
    },
  };
});

const cancelStep = index.map((which): Step => ({
  text: `cancel(${which})`,
  plan: (model) => {
    const id = `j${which % (model.submitted + 1)}`;
    const { now } = model;
    return {
      expected: model.cancel(id),
      call: async (store) => {
        const cancelled = await store.jobs.cancel(id, now);
        return cancelled && { ended: cancelled.ended, lease: cancelled.lease?.lease ?? null };
      },
    };
  },
}));

const expireStep = fc.constantFrom(0, 0, 20, 50, 200).map((later): Step => ({
  text: `expire(+${later})`,
  plan: (model) => {
    model.now += later;
    const { now } = model;
    const byId = (a: { jobId: string }, b: { jobId: string }): number => (a.jobId < b.jobId ? -1 : 1);
    return {
      expected: model.expire().sort(byId),
      call: async (store) => (await store.leases.expire(now)).sort(byId),
    };
  },
}));

const pruneStep = fc.constantFrom(0, 100).map((age): Step => ({
  text: `prune(${age})`,
  plan: (model) => {
    const before = model.now - age;
    return { expected: model.prune(before), call: (store) => store.prune(before) };
  },
}));

const step = fc.oneof(
  { weight: 4, arbitrary: submitStep },
  { weight: 4, arbitrary: claimStep },
  { weight: 10, arbitrary: nextStep },
  { weight: 5, arbitrary: leaseSteps },
  { weight: 2, arbitrary: sessionSteps },
  { weight: 2, arbitrary: cancelStep },
  { weight: 1, arbitrary: expireStep },
);

const together = fc.array(step, { minLength: 1, maxLength: 8 }).map((steps) => new Together(steps));

/** Mostly of the same life of its worker. */
const opening = fc
  .tuple(index, fc.nat({ max: 3 }), index)
  .map(([worker, boot, forgets]) => new OpenSession(worker, boot === 3 ? 1 : 0, forgets));

/** One of them is taken at each turn, all as likely. */
const allCommands = [
  ...Array.from({ length: 12 }, () => together),
  pruneStep.map((prune) => new Together([prune])),
  opening,
  opening,
  fc.constant(new Crash()),
];

export function storeModelSuite(engine: StoreEngine, { runs }: { runs: number }): void {
  void test(`store (${engine.name}): any calls in any order agree with the model`, async (t) => {
    const seed = Number(process.env["SALLYPORT_TEST_SEED"] ?? Date.now() % 2 ** 31);
    t.diagnostic(`seed ${seed}, ${runs} runs`);
    const property = fc.asyncProperty(
      fc.commands(allCommands, { maxCommands: 150, size: "max" }),
      async (commands) => {
        await using home = await engine.home();
        const real = { home, store: await home.open() };
        const model = new Model();
        await new OpenSession(0, 0, 0).run(model, real);
        await fc.asyncModelRun(() => ({ model, real }), commands);
      },
    );
    await fc.assert(property, { numRuns: runs, seed, endOnFailure: process.env["CI"] !== undefined });
  });
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

function pick<T>(items: readonly T[], at: number): T {
  const item = items[at % items.length];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}

/** Mostly the newest ones, which are the most likely to be live. */
function pickLease(model: Model, which: number): LeaseRef {
  const recent = model.leases.slice(which < 24 ? -4 : 0);
  return recent.length === 0 ? { lease: "nobody", attempt: 1, epoch: 1 } : pick(recent, which);
}

function pickSession(model: Model, which: number): string {
  return which === 30
    ? "nobody"
    : pick([...model.sessions.keys(), ...(model.sessions.size === 0 ? ["none"] : [])], which);
}

/** What a worker says it holds: its leases of late, but for every so manieth it forgot. */
function told(model: Model, forgets: number): LeaseRef[] {
  return model.leases.slice(-8).filter((_, at) => forgets < 2 || (at + 1) % forgets !== 0);
}

function toHeld(lease: LeaseRef): LeaseRef & { kind: "job"; from: number; to: number } {
  return { ...lease, kind: "job", from: 0, to: 0 };
}
