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
