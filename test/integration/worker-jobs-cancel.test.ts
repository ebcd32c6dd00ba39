/** When the command of a job may start, and what stops it: its time and the hub. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { run, startRig } from "../helpers/simulated-hub.ts";

test("a command that outlives its time gets SIGTERM and ends as timeout", async () => {
  await using rig = await startRig({ intervals: { graceMs: 50 } });
  const outcome = await rig.hub.offer({ spec: { ...run("sleep", "60000"), timeoutMs: 30 } }).finished;
  assert.deepEqual([outcome.reason, outcome.signal], ["timeout", "SIGTERM"]);
});

test("a command that ignores SIGTERM is killed after its grace, at timeout and at cancel", async () => {
  await using rig = await startRig({ intervals: { graceMs: 30 } });
  const late = await rig.hub.offer({ spec: { ...run("hang"), timeoutMs: 20 } }).finished;
  assert.deepEqual([late.reason, late.signal], ["timeout", "SIGKILL"]);
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  rig.hub.say({ type: "lease.cancel", ...job.ref, reason: "cancelled", graceMs: 30 });
  const outcome = await job.finished;
  assert.deepEqual([outcome.reason, outcome.signal], ["cancelled", "SIGKILL"]);
});

test("a cancel before the start prevents it", async () => {
  await using rig = await startRig({ faults: { createMs: 5_000 } });
  const job = rig.hub.offer({ spec: run("echo", "never") });
  await rig.hub.until(() => job.answers.length === 1, "accept");
  rig.hub.say({ type: "lease.cancel", ...job.ref, reason: "cancelled", graceMs: 1_000 });
  const outcome = await job.finished;
  assert.equal(outcome.reason, "cancelled");
  assert.deepEqual([job.started.length, outcome.logEnd, outcome.output.stdoutBytes], [0, 0, 0]);
});

test("no command starts before the hub has heard its acceptance, whatever is ready by then", async () => {
  await using rig = await startRig();
  rig.hub.hooks.confirmsLeases = false;
  const job = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 1, "the sandbox");
  const lost = rig.hub.offer({ spec: run("echo", "never") });
  await rig.hub.until(() => lost.answers.length === 1, "accept");
  assert.deepEqual([job.started.length, lost.started.length], [0, 0]);
  rig.hub.say({ type: "lease.done", ...lost.ref, outcome: "superseded" });
  rig.hub.say({ type: "lease.confirmed", ...job.ref });
  assert.equal((await job.finished).reason, "exited");
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 0, "an empty engine");
  assert.equal(lost.started.length, 0);
});

test("a verdict to go on confirms as well", async () => {
  await using rig = await startRig();
  rig.hub.hooks.confirmsLeases = false;
  const job = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => job.answers.length === 1, "accept");
  rig.hub.end.link.cut();
  assert.equal((await job.finished).reason, "exited");
});

test("a cancel of a lease that is not held changes nothing", async () => {
  await using rig = await startRig();
  rig.hub.say({
    type: "lease.cancel",
    lease: "nobody",
    attempt: 1,
    epoch: 1,
    reason: "cancelled",
    graceMs: 0,
  });
  assert.equal((await rig.hub.offer({ spec: run("true") }).finished).reason, "exited");
});
