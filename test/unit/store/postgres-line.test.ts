import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { DatabaseClock } from "../../../src/store/postgres/clock.ts";
import { noNews } from "../../../src/store/postgres/news.ts";
import type { OpenJob, Waiting } from "../../../src/store/postgres/row-types.ts";
import { Rows } from "../../../src/store/postgres/rows.ts";

function waiting(
  seq: number,
  { tenant, vft, priority }: { tenant: string; vft: number; priority: number },
): Waiting {
  const job: OpenJob = {
    seq,
    id: `j${seq}`,
    pool: "python",
    state: "queued",
    priority,
    vft,
    epoch: 0,
    attempts: 0,
    maxAttempts: 1,
    session: null,
    workerId: null,
    cancelRequested: false,
    createdAt: 0,
    queuedAt: 0,
    queuedMs: 0,
    tenant,
  };
  return { job, tenant, spec: "{}", specBytes: 2 };
}

function rowsOf(all: readonly Waiting[]): Rows {
  const none = {
    jobs: [],
    attempts: [],
    recorded: [],
    workers: [],
    orphans: [],
    queued: 0,
    shares: [],
    pools: [],
  };
  return new Rows({ clock: new DatabaseClock(), news: noNews() }, { ...none, seqs: [], waiting: all });
}

/** All of them in the order they are taken, with the turn each takes. */
function taken(rows: Rows): [seq: number, vft: number][] {
  const order: [number, number][] = [];
  for (let next = rows.next("python"); next !== undefined; next = rows.next("python")) {
    rows.update(next.job, { state: "offered" });
    order.push([next.job.seq, next.job.vft]);
  }
  return order;
}

const jobs = fc.array(
  fc.record({
    tenant: fc.constantFrom("a", "b", "c"),
    vft: fc.nat(6),
    priority: fc.integer({ min: -1, max: 1 }),
  }),
  { maxLength: 20 },
);

test("turns come by virtual finish, then by tenant, and each is taken by its tenant's most urgent job", () => {
  fc.assert(
    fc.property(jobs, (made) => {
      const all = made.map((one, at) => waiting(at + 1, one));
      const turns = all
        .map(({ tenant, job: { vft } }) => ({ tenant, vft }))
        .sort((a, b) => a.vft - b.vft || (a.tenant < b.tenant ? -1 : Number(a.tenant > b.tenant)));
      const urgent = all.toSorted(({ job: a }, { job: b }) => b.priority - a.priority || a.seq - b.seq);
      const expected = turns.map(({ tenant, vft }) => {
        const at = urgent.findIndex((one) => one.tenant === tenant);
        return [urgent.splice(at, 1)[0]?.job.seq, vft];
      });
      assert.deepEqual(taken(rowsOf(all)), expected);
    }),
  );
});

test("who is next is found without a look at everybody who waits", () => {
  let looks = 0;
  const count = 1_000;
  const all = Array.from({ length: count }, (_, at) => {
    const one = waiting(at + 1, { tenant: `t${at % 10}`, vft: at, priority: at % 3 });
    const { priority } = one.job;
    Object.defineProperty(one.job, "priority", { get: () => ((looks += 1), priority) });
    return one;
  });
  assert.equal(taken(rowsOf(all)).length, count);
  assert.ok(looks < 40 * count, `${looks} looks at ${count} jobs`);
});
