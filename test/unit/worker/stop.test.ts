import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { StopOrder } from "../../../src/worker/stop.ts";

test("the first reason stands, and a later request only brings the kill forward", async () => {
  using stop = new StopOrder();
  stop.request("cancelled", 60_000);
  assert.deepEqual([stop.soft.aborted, stop.hard.aborted], [true, false]);
  const killed = once(stop.hard, "abort");
  stop.request("timeout", 5);
  await killed;
  assert.deepEqual(stop.actions, ["cancelled", "timeout"]);
  assert.equal(stop.soft.reason.code, "cancelled");
});

test("a later request with a longer grace does not put the kill off", async () => {
  using stop = new StopOrder();
  const killed = once(stop.hard, "abort");
  stop.request("cancelled", 5);
  stop.request("timeout", 60_000);
  await killed;
});

test("a grace longer than a timer can count is not over at once", async () => {
  using stop = new StopOrder();
  stop.request("cancelled", 2 ** 40);
  await sleep(20);
  assert.equal(stop.hard.aborted, false);
});

test("without grace it is killed at once, and dropped only where nobody wants what it leaves", () => {
  using limit = new StopOrder();
  limit.request("output_limit", 0);
  assert.deepEqual([limit.hard.aborted, limit.dropped.aborted], [true, false]);
  limit.request("cut_off", 0);
  assert.equal(limit.dropped.aborted, true);
});
