/** The calls that can be made to a store, each planned on the model: what it is asked, and what it has to answer. */
import * as fc from "fast-check";
import type { LeaseRef } from "../../src/protocol/index.ts";
import { logPart, newJob } from "../helpers/store.ts";
import type { Step } from "./store-model-commands.ts";
import {
  outcomes,
  pick,
  pickLease,
  pickSession,
  pools,
  record,
  tenants,
  toHeld,
  told,
} from "./store-model-values.ts";
import type { Model } from "./store-model.ts";

export const index = fc.nat({ max: 30 });

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

export const pruneStep = fc.constantFrom(0, 100).map((age): Step => ({
  text: `prune(${age})`,
  plan: (model) => {
    const before = model.now - age;
    return { expected: model.prune(before), call: (store) => store.prune(before) };
  },
}));

export const step = fc.oneof(
  { weight: 4, arbitrary: submitStep },
  { weight: 4, arbitrary: claimStep },
  { weight: 10, arbitrary: nextStep },
  { weight: 5, arbitrary: leaseSteps },
  { weight: 2, arbitrary: sessionSteps },
  { weight: 2, arbitrary: cancelStep },
  { weight: 1, arbitrary: expireStep },
);
