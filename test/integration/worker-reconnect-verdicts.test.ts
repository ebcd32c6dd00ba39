/** Exit reports and what the hub says about held leases, over one channel and the next. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { run, startRig, type SimulatedJob } from "../helpers/simulated-hub.ts";

test("an exit report is told on every channel until it is answered, and not after that", async () => {
  await using rig = await startRig({ hooks: { answersExits: false } });
  const job = rig.hub.offer({ spec: run("true") });
  for (const times of [1, 2, 3]) {
    await rig.hub.until(() => job.exits.length === times, `report ${times}`);
    if (times === 3) rig.hub.hooks.answersExits = true;
    rig.hub.end.link.cut();
  }
  await rig.hub.until(() => job.exits.length === 4, "report 4");
  await rig.hub.until(() => {
    rig.hub.say({ type: "leases.request" });
    return rig.hub.messages.some((message) => message.type === "leases" && message.leases.length === 0);
  }, "the worker to know the answer");
  rig.hub.end.link.cut();
  await rig.hub.until(() => rig.hub.ends.length === 5, "one more reconnect");
  assert.equal(job.exits.length, 4);
  assert.deepEqual(job.exits[0], job.exits[3]);
});

test("an exit report nobody answers is told again on the same channel", async () => {
  await using rig = await startRig({ hooks: { answersExits: false }, times: { resendMs: 15 } });
  const job = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => job.exits.length >= 3, "three reports");
  rig.hub.hooks.answersExits = true;
});

test("verdict kill, and no verdict at all: the sandbox goes and nothing is reported", async () => {
  for (const verdict of ["kill", "none"] as const) {
    await using rig = await startRig();
    const job = rig.hub.offer({ spec: run("hang") });
    await rig.hub.until(() => job.started.length === 1, "start");
    rig.hub.hooks.verdict = (held) => (verdict === "none" ? undefined : { ...held, verdict, from: 0 });
    rig.hub.end.link.cut();
    await rig.hub.until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
    await rig.worker.drain(1_000);
    assert.equal(job.exits.length, 0);
  }
});

test("verdict finished: the result is forgotten", async () => {
  await using rig = await startRig({ hooks: { answersExits: false } });
  const job = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => job.exits.length === 1, "report");
  rig.hub.hooks.verdict = (held) => ({ ...held, verdict: "finished", from: held.to });
  rig.hub.end.link.cut();
  await rig.hub.until(() => rig.hub.ends.length === 2, "reconnect");
  await rig.worker.drain();
});

test("leases.request is answered with what is held, and its verdicts are followed", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  rig.hub.hooks.verdict = (held) => ({ ...held, verdict: "kill", from: 0 });
  rig.hub.say({ type: "leases.request" });
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
  const told = rig.hub.messages.find((message) => message.type === "leases");
  assert.deepEqual(
    told?.leases.map(({ lease, kind }) => [lease, kind]),
    [[job.ref.lease, "job"]],
  );
});

test("lease.done superseded for a running job: its sandbox goes, nothing is reported", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  rig.hub.say({ type: "lease.done", ...job.ref, outcome: "superseded" });
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
  assert.equal(job.exits.length, 0);
});

test("a message about another epoch of a held lease changes nothing", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: { ...run("cat"), stdin: { mode: "stream" } } });
  await rig.hub.until(() => job.started.length === 1, "start");
  const other = { ...job.ref, epoch: 2 };
  rig.hub.say({ type: "lease.done", ...other, outcome: "recorded" });
  rig.hub.say({ type: "lease.cancel", ...other, reason: "cancelled", graceMs: 0 });
  rig.hub.end.channel.open({ kind: "stdin", ...job.ref }).end();
  assert.equal((await job.finished).reason, "exited");
});

test("verdicts on an earlier list leave alone what was taken since it was sent", async () => {
  await using rig = await startRig();
  const taken = deferred<SimulatedJob>();
  rig.hub.hooks.heard = ({ type }) => {
    if (type !== "leases" || taken.settled) return;
    taken.resolve(rig.hub.offer({ spec: run("hang") }));
    rig.hub.say({ type: "leases.request" });
  };
  rig.hub.say({ type: "leases.request" });
  const job = await taken.promise;
  await rig.hub.until(() => job.started.length === 1, "the job to run");
  rig.hub.say({ type: "lease.cancel", ...job.ref, reason: "cancelled", graceMs: 0 });
  assert.equal((await job.finished).reason, "cancelled");
});
