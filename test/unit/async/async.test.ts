import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
import {
  abortable,
  Backoff,
  deferred,
  linkSignals,
  Notifier,
  sleep,
  withDeadline,
} from "../../../src/async/index.ts";
import { isError } from "../../../src/errors.ts";
import { collectGarbage } from "../../helpers/heap.ts";

test("a linked signal fires with the first source's reason and leaves no listener behind", () => {
  const a = new AbortController();
  const b = new AbortController();
  {
    using linked = linkSignals(a.signal, undefined, b.signal);
    b.abort("second");
    a.abort("first");
    assert.equal(linked.signal.reason, "second");
  }
  assert.equal(getEventListeners(a.signal, "abort").length, 0);
  assert.equal(getEventListeners(b.signal, "abort").length, 0);
});

test("sleep and abortable reject with the signal's own reason", async () => {
  const controller = new AbortController();
  const sleeping = sleep(60_000, controller.signal);
  const waiting = abortable(new Promise(() => undefined), controller.signal);
  const reason = new Error("typed reason");
  controller.abort(reason);
  await assert.rejects(sleeping, reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(abortable(Promise.reject(new Error("late")), controller.signal), reason);
});

test("a deadline is a coded error that names what took too long", async () => {
  await assert.rejects(withDeadline(new Promise(() => undefined), 5, "the answer"), (error) => {
    return isError(error, "deadline_exceeded") && error.message.includes("the answer");
  });
  assert.equal(await withDeadline(Promise.resolve(7), 1_000, "the answer"), 7);
});

test("a wait that is longer than a timer can be is not over at once", async () => {
  const month = 30 * 86_400_000;
  const leave = new AbortController();
  let over = false;
  const waits = [sleep(month, leave.signal), withDeadline(sleep(month, leave.signal), month, "a month")];
  for (const wait of waits) void wait.finally(() => (over = true)).catch(() => undefined);
  // a timer that overflows fires after 1 ms, before one that is set later for more
  await sleep(10);
  assert.equal(over, false);
  leave.abort();
});

test("backoff stays within its jittered bounds and starts over after reset", () => {
  const backoff = new Backoff({ baseMs: 100, capMs: 1_000, random: () => 1 });
  assert.deepEqual(
    [backoff.next(), backoff.next(), backoff.next(), backoff.next(), backoff.next()],
    [100, 200, 400, 800, 1_000],
  );
  backoff.reset();
  assert.equal(backoff.next(), 100);
  assert.equal(new Backoff({ baseMs: 100, capMs: 1_000, random: () => 0 }).next(), 0);
});

test("a notifier wakes everyone who waits, once", async () => {
  const notifier = new Notifier();
  const first = notifier.wait();
  const second = notifier.wait();
  notifier.notify();
  await Promise.all([first, second]);
  const controller = new AbortController();
  const third = notifier.wait(controller.signal);
  controller.abort(new Error("stop"));
  await assert.rejects(third, /stop/);
});

test("a notifier forgets who left, however long nobody is woken", async () => {
  const notifier = new Notifier();
  const leave = async (): Promise<WeakRef<AbortSignal>> => {
    const controller = new AbortController();
    const waiting = notifier.wait(controller.signal);
    controller.abort(new Error("left"));
    await waiting.catch(() => undefined);
    return new WeakRef(controller.signal);
  };
  const left = await leave();
  await immediate();
  collectGarbage();
  assert.equal(left.deref(), undefined);
  const { signal } = new AbortController();
  const woken = notifier.wait(signal);
  notifier.notify();
  await woken;
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a deferred keeps its first settlement", async () => {
  const answer = deferred<number>();
  assert.equal(answer.settled, false);
  answer.resolve(1);
  answer.reject(new Error("late"));
  assert.equal(answer.settled, true);
  assert.equal(await answer.promise, 1);
});
