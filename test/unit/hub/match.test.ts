import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { allot, type Room, type WaitingPool } from "../../../src/hub/dispatch/match.ts";
import { PoolTurns } from "../../../src/hub/dispatch/pool-turns.ts";

function pool(over: Partial<WaitingPool> = {}): WaitingPool {
  return { pool: "p", profile: "python", labels: {}, queued: 1, oldestAt: 0, ...over };
}

function room(workerId: string, over: Partial<Room> = {}): Room {
  return {
    workerId,
    labels: {},
    slots: 1,
    totalSlots: 1,
    memory: 1_000,
    profiles: new Map([["python", { memory: 100, warm: 0 }]]),
    ...over,
  };
}

test("a worker without the profile, a label, a slot or the memory is given nothing", () => {
  const unfit = [
    room("other profile", { profiles: new Map([["node", { memory: 1, warm: 5 }]]) }),
    room("other label", { labels: { gpu: "no" } }),
    room("no slot", { labels: { gpu: "yes" }, slots: 0 }),
    room("no memory", { labels: { gpu: "yes" }, memory: 99 }),
  ];
  assert.deepEqual(allot([pool({ labels: { gpu: "yes" } })], unfit), []);
});

test("a warm sandbox is preferred to an idle worker, and needs no free memory", () => {
  const idle = room("idle", { slots: 8, totalSlots: 8 });
  const warm = room("warm", {
    slots: 1,
    totalSlots: 8,
    memory: 0,
    profiles: new Map([["python", { memory: 100, warm: 1 }]]),
  });
  assert.deepEqual(allot([pool()], [idle, warm]), [
    { pool: "p", profile: "python", workerId: "warm", limit: 1 },
  ]);
});

test("among equals the least loaded worker is next, so a burst spreads", () => {
  const rooms = [room("a", { slots: 4, totalSlots: 4 }), room("b", { slots: 4, totalSlots: 4 })];
  assert.deepEqual(allot([pool({ queued: 4 })], rooms), [
    { pool: "p", profile: "python", workerId: "a", limit: 2 },
    { pool: "p", profile: "python", workerId: "b", limit: 2 },
  ]);
});

test("pools take turns", () => {
  const pools = [
    pool({ pool: "big", queued: 100, oldestAt: 5 }),
    pool({ pool: "old", queued: 1, oldestAt: 1 }),
  ];
  const rooms = [room("a", { slots: 3, totalSlots: 3 })];
  assert.deepEqual(
    allot(pools, rooms).sort((a, b) => (a.pool < b.pool ? -1 : 1)),
    [
      { pool: "big", profile: "python", workerId: "a", limit: 2 },
      { pool: "old", profile: "python", workerId: "a", limit: 1 },
    ],
  );
});

test("the longest waiting pool comes first once; who was given a slot, or comes anew, stands behind the others", () => {
  const turns = new PoolTurns();
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name, at) => pool({ pool: name, queued: 9, oldestAt: at }));
  assert.ok(a && b && c && d);
  const serve = (waiting: Parameters<typeof allot>[0], slots = 1): string => {
    const given = allot(turns.inOrder(waiting), [room("w", { slots, totalSlots: 9 })]);
    turns.given(given);
    return given.map((one) => one.pool).join("");
  };
  assert.equal(serve([c, b]), "b");
  assert.equal(serve([a, b, c]), "c");
  assert.equal(serve([a, b, c]), "b");
  assert.equal(serve([a, b, c, d]), "a");
  assert.equal(serve([b, c, d], 2), "cb");
  assert.equal(serve([b, c, d]), "d");
  assert.equal(serve([]), "");
});

test("nobody is given more than it has room for, and no pool more than waits in it", () => {
  const name = fc.constantFrom("python", "node");
  const pools = fc.array(
    fc.record({ profile: name, queued: fc.nat(20), oldestAt: fc.nat(100), gpu: fc.boolean() }),
    { maxLength: 5 },
  );
  const rooms = fc.array(
    fc.record({
      slots: fc.nat(10),
      memory: fc.nat(1_000),
      warm: fc.nat(5),
      profile: name,
      gpu: fc.boolean(),
    }),
    { maxLength: 5 },
  );
  fc.assert(
    fc.property(pools, rooms, (waiting, having) => {
      const asked = waiting.map((entry, at) =>
        pool({ ...entry, pool: `p${at}`, labels: entry.gpu ? { gpu: "yes" } : {} }),
      );
      const free = having.map((entry, at) =>
        room(`w${at}`, {
          slots: entry.slots,
          totalSlots: 10,
          memory: entry.memory,
          labels: entry.gpu ? { gpu: "yes" } : {},
          profiles: new Map([[entry.profile, { memory: 100, warm: entry.warm }]]),
        }),
      );
      const given = allot(asked, free);
      for (const entry of free) {
        const total = given
          .filter((one) => one.workerId === entry.workerId)
          .reduce((sum, one) => sum + one.limit, 0);
        const warm = [...entry.profiles.values()][0]?.warm ?? 0;
        assert.ok(total <= entry.slots);
        assert.ok(Math.max(0, total - warm) * 100 <= entry.memory);
      }
      for (const entry of asked) {
        const total = given.filter((one) => one.pool === entry.pool).reduce((sum, one) => sum + one.limit, 0);
        assert.ok(total <= entry.queued);
      }
    }),
  );
});
