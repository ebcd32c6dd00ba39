/** One job from offer to report and its output, against a simulated hub and the fake driver. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { anyBytes, run, startRig, testProfile } from "../helpers/simulated-hub.ts";

test("a job's output, exit and start are told, its sandbox is removed", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: run("echo", "hello") });
  const outcome = await job.finished;
  assert.equal(outcome.reason, "exited");
  assert.equal(outcome.exitCode, 0);
  assert.equal(outcome.missing, null);
  assert.equal(outcome.logEnd, job.durable);
  assert.deepEqual(outcome.output, { stdoutBytes: 6, stderrBytes: 0, truncated: false });
  assert.equal(job.printed("stdout").toString(), "hello\n");
  assert.equal(job.printed("event").toString(), '{"event":"started"}');
  assert.equal(job.started.length, 1);
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
});

test("output is byte-exact, NUL and invalid UTF-8 included", async () => {
  await using rig = await startRig();
  const bytes = anyBytes(3_000_001);
  const job = rig.hub.offer({
    spec: { ...run("read", "in"), files: [{ path: "in", size: bytes.length }] },
    inputs: bytes,
  });
  const outcome = await job.finished;
  assert.equal(outcome.output.stdoutBytes, bytes.length);
  assert.ok(job.printed("stdout").equals(bytes));
});

test("stderr stays apart and a non-zero exit is a result", async () => {
  await using rig = await startRig();
  const err = rig.hub.offer({ spec: run("stderr", "oops") });
  assert.equal((await err.finished).output.stderrBytes, 5);
  assert.equal(err.printed("stderr").toString(), "oops\n");
  const exit = await rig.hub.offer({ spec: run("exit", "3") }).finished;
  assert.deepEqual([exit.reason, exit.exitCode, exit.error], ["exited", 3, null]);
});

test("output above the cap: exactly the cap is kept, and the command ends as output_limit", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: { ...run("yes"), outputBytes: 100_001 } });
  const outcome = await job.finished;
  assert.equal(outcome.reason, "output_limit");
  assert.deepEqual(outcome.output, { stdoutBytes: 100_001, stderrBytes: 0, truncated: true });
  assert.equal(job.printed("stdout").length, 100_001);
});

test("output of exactly the cap is whole and no reason to stop", async () => {
  await using rig = await startRig();
  const outcome = await rig.hub.offer({ spec: { ...run("bytes", "70000", "3"), outputBytes: 70_000 } })
    .finished;
  assert.deepEqual([outcome.reason, outcome.output.truncated], ["exited", false]);
});

test("the profile on this worker bounds what a hub asks for", async () => {
  const profiles = [testProfile("fast", { limits: { wallClock: "60s", output: "1KiB", artifacts: "1KiB" } })];
  await using rig = await startRig({ profiles });
  const job = rig.hub.offer({ spec: { ...run("yes"), outputBytes: 2 ** 40 } });
  assert.equal((await job.finished).output.stdoutBytes, 1_024);
  const refused = await rig.hub.offer({ spec: { ...run("true"), mcp: [{ host: "docs" }] } }).finished;
  assert.deepEqual([refused.reason, refused.error?.code], ["never_started", "host_not_allowed"]);
});
