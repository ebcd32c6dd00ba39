import assert from "node:assert/strict";
import { test } from "node:test";
import { Admission } from "../../../src/worker/admission.ts";

const never = new AbortController().signal;

test("promises are refused by slot and by memory, and come back when a command is over", () => {
  const admission = new Admission({ slots: 2, memory: 100 });
  const ticket = admission.admit(60);
  assert.equal(admission.refuse(41), "no_memory");
  assert.equal(admission.refuse(40), undefined);
  admission.admit(40);
  assert.equal(admission.refuse(0), "no_slot");
  ticket.over();
  ticket.over();
  assert.deepEqual(admission.free, { slots: 1, memory: 60 });
});

test("a slot is given only when the sandbox before it is gone", async () => {
  const admission = new Admission({ slots: 1, memory: 100 });
  const first = admission.admit(10);
  const slot = await first.enter(never);
  first.over();
  let entered = false;
  const second = admission
    .admit(10)
    .enter(never)
    .then((next) => {
      entered = true;
      return next;
    });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(entered, false);
  slot[Symbol.dispose]();
  (await second)[Symbol.dispose]();
});

test("memory is given only when the sandbox before it is gone", async () => {
  const admission = new Admission({ slots: 2, memory: 100 });
  const slot = await admission.admit(80).enter(never);
  let entered = false;
  const second = admission
    .admit(80)
    .enter(never)
    .then((next) => {
      entered = true;
      return next;
    });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(entered, false);
  slot[Symbol.dispose]();
  (await second)[Symbol.dispose]();
});

test("a sandbox may have all the memory there is, and what it gives back is told", async () => {
  const admission = new Admission({ slots: 1, memory: 100 });
  let freed = 0;
  admission.onFreed(() => (freed += 1));
  const slot = await admission.admit(100).enter(never);
  assert.deepEqual([admission.spareMemory, freed], [0, 0]);
  slot[Symbol.dispose]();
  (await admission.admit(100).enter(never))[Symbol.dispose]();
  assert.equal(freed, 1);
});

test("who gives up in the very turn that a slot is given leaves none in use", async () => {
  for (let turns = 0; turns < 20; turns += 1) {
    const admission = new Admission({ slots: 1, memory: 100 });
    const slot = await admission.admit(100).enter(never);
    const controller = new AbortController();
    const waiting = admission.admit(100).enter(controller.signal);
    slot[Symbol.dispose]();
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
    controller.abort(new Error("enough"));
    const given = await waiting.catch(() => null);
    given?.[Symbol.dispose]();
    (await admission.admit(100).enter(never))[Symbol.dispose]();
  }
});

test("who gives up waiting leaves no slot in use", async () => {
  const admission = new Admission({ slots: 1, memory: 100 });
  const slot = await admission.admit(10).enter(never);
  const controller = new AbortController();
  const waiting = admission.admit(10).enter(controller.signal);
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });
  slot[Symbol.dispose]();
  (await admission.admit(10).enter(never))[Symbol.dispose]();
});
