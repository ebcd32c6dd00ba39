/** What a worker does when its channel breaks, stalls or is replaced. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { sleep } from "../../src/async/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { anyBytes, run, startRig, type Rig, type SimulatedJob } from "../helpers/simulated-hub.ts";

const text = anyBytes(1_200_000);

/** A job that prints `text`. */
function printing(rig: Rig): SimulatedJob {
  return rig.hub.offer({
    spec: { ...run("cat"), stdin: { mode: "text", size: text.length } },
    inputs: text,
  });
}

test("property: cut anywhere, as often as you like, the hub ends up with every byte once", async () => {
  const cuts = fc.uniqueArray(fc.integer({ min: 1, max: text.length }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(cuts, async (unsorted) => {
      const waiting = unsorted.sort((a, b) => a - b);
      await using rig = await startRig();
      rig.hub.hooks.printed = (_job, bytes) => {
        if (waiting[0] === undefined || bytes < waiting[0]) return;
        waiting.shift();
        rig.hub.end.link.cut();
      };
      const job = printing(rig);
      const outcome = await job.finished;
      assert.equal(outcome.missing, null);
      assert.equal(outcome.logEnd, job.durable);
      assert.ok(job.printed("stdout").equals(text));
    }),
    { numRuns: 12 },
  );
});

test("a hub that comes back without what it confirmed is told which part is missing", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: { ...run("cat"), stdin: { mode: "stream" } } });
  await rig.hub.until(() => job.durable > 0 && job.started.length === 1, "start");
  const confirmed = job.durable;
  await rig.hub.until(() => {
    rig.hub.say({ type: "leases.request" });
    const told = rig.hub.messages.filter((message) => message.type === "leases").at(-1);
    return told?.leases[0]?.from === confirmed;
  }, "the worker to know what is confirmed");
  rig.hub.hooks.verdict = (held) => ({ ...held, verdict: "continue", from: 0 });
  rig.hub.end.link.cut();
  await rig.hub.until(() => rig.hub.ends.length === 2, "reconnect");
  rig.hub.end.channel.open({ kind: "stdin", ...job.ref }).end();
  const outcome = await job.finished;
  assert.deepEqual([outcome.reason, outcome.missing], ["exited", { from: 0, to: confirmed }]);
});

test("the start is told again over a new channel", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  rig.hub.end.link.cut();
  await rig.hub.until(() => job.started.length === 2, "start told again");
  assert.equal(job.started[0], job.started[1]);
});

test("a hub away longer than selfStopMs: the worker stops its own sandboxes and tells so when it is back", async () => {
  let away = false;
  const refuses = (): SallyportError | undefined =>
    away ? new SallyportError("hub_unreachable", "hub: away") : undefined;
  await using rig = await startRig({ intervals: { heartbeatMs: 20, selfStopMs: 120 }, hooks: { refuses } });
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  away = true;
  rig.hub.end.link.cut();
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
  away = false;
  const outcome = await job.finished;
  assert.deepEqual([outcome.reason, outcome.error?.code], ["worker_lost", "hub_unreachable"]);
});

test("a lease that is over unheard is named once more when the hub is back, unless its command cannot have run", async () => {
  let away = false;
  const refuses = (): SallyportError | undefined =>
    away ? new SallyportError("hub_unreachable", "hub: away") : undefined;
  const intervals = { heartbeatMs: 20, selfStopMs: 60, leaseMs: 120 };
  await using rig = await startRig({ intervals, hooks: { refuses } });
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  rig.hub.hooks.confirmsLeases = false;
  const unheard = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => unheard.answers.length === 1, "an answer");
  away = true;
  rig.hub.end.link.cut();
  const named = (): string[][] =>
    rig.hub.messages.flatMap((message) =>
      message.type === "hello" ? [message.leases.map(({ lease }) => lease)] : [],
    );
  await sleep(3 * intervals.leaseMs);
  away = false;
  await rig.hub.until(() => named().length === 2, "a second greeting");
  await rig.hub.until(() => rig.hub.messages.at(-1)?.type === "heartbeat", "the welcome to be heard");
  rig.hub.end.link.cut();
  await rig.hub.until(() => named().length === 3, "a third greeting");
  assert.deepEqual(named(), [[], [job.ref.lease], []]);
  assert.deepEqual([job.exits.length, unheard.started.length], [0, 0]);
});

test("a hub that answers no heartbeat renews nothing: the worker stops its sandboxes though the channel lives", async () => {
  await using rig = await startRig({ intervals: { heartbeatMs: 20, selfStopMs: 120 } });
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  rig.hub.hooks.renews = false;
  assert.equal((await job.finished).reason, "worker_lost");
});

test("renewals that are answered keep a job running for longer than selfStopMs", async () => {
  await using rig = await startRig({ intervals: { heartbeatMs: 20, selfStopMs: 150 } });
  const outcome = await rig.hub.offer({ spec: run("sleep", "400") }).finished;
  assert.deepEqual([outcome.reason, outcome.exitCode], ["exited", 0]);
});

test("a hub away for less than selfStopMs costs a running job nothing", async () => {
  let away = false;
  const refuses = (): SallyportError | undefined =>
    away ? new SallyportError("hub_unreachable", "hub: away") : undefined;
  await using rig = await startRig({ intervals: { heartbeatMs: 20, selfStopMs: 5_000 }, hooks: { refuses } });
  const job = rig.hub.offer({ spec: run("sleep", "150") });
  await rig.hub.until(() => job.started.length === 1, "start");
  away = true;
  rig.hub.end.link.cut();
  const dials = rig.hub.dials;
  await rig.hub.until(() => rig.hub.dials > dials + 3, "some dials in vain");
  away = false;
  const outcome = await job.finished;
  assert.deepEqual([outcome.reason, outcome.exitCode], ["exited", 0]);
});

test("heartbeats that stay unanswered make the worker dial anew", async () => {
  await using rig = await startRig({ intervals: { heartbeatMs: 10, suspectMs: 40 } });
  rig.hub.hooks.renews = false;
  await rig.hub.until(() => rig.hub.ends.length === 2, "a second channel");
});

test("go-away: the new channel is open before the old one closes, and output goes on whole", async () => {
  await using rig = await startRig();
  rig.hub.hooks.printed = (_job, bytes) => {
    if (bytes > 100_000 && rig.hub.ends.length === 1) rig.hub.say({ type: "go-away", deadlineMs: 1_000 });
  };
  const order: string[] = [];
  rig.hub.hooks.heard = (message) => {
    if (message.type === "hello") order.push("hello");
  };
  void rig.hub.end.channel.closed.then(() => order.push("closed"));
  const job = printing(rig);
  await job.finished;
  await rig.hub.until(() => order.length === 2, "the old channel to close");
  assert.deepEqual(order, ["hello", "closed"]);
  assert.ok(job.printed("stdout").equals(text));
});

test("go-away: nothing more is taken on the channel that is left, since the next hub would not be told of it", async () => {
  await using rig = await startRig({ hooks: { refuses: () => undefined } });
  rig.hub.hooks.refuses = () => new SallyportError("hub_unreachable", "hub: away");
  rig.hub.say({ type: "go-away", deadlineMs: 60_000 });
  const job = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => job.answers.length === 1, "an answer");
  assert.equal(job.answers[0]?.type === "offer.reject" && job.answers[0].reason, "draining");
  rig.hub.hooks.refuses = () => undefined;
  await rig.hub.until(() => rig.hub.ends.length === 2, "the next channel");
  assert.equal((await rig.hub.offer({ spec: run("true") }).finished).reason, "exited");
});

test("go-away: a lease that the hub takes for superseded goes on, since the next one may have taken it over", async () => {
  await using rig = await startRig({ hooks: { refuses: () => undefined } });
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  rig.hub.hooks.refuses = () => new SallyportError("hub_unreachable", "hub: away");
  rig.hub.say({ type: "go-away", deadlineMs: 60_000 });
  rig.hub.say({ type: "lease.done", ...job.ref, outcome: "superseded" });
  rig.hub.say({ type: "lease.cancel", ...job.ref, reason: "superseded", graceMs: 0 });
  rig.hub.hooks.refuses = () => undefined;
  await rig.hub.until(() => rig.hub.ends.length === 2, "the next channel");
  rig.hub.say({ type: "lease.cancel", ...job.ref, reason: "cancelled", graceMs: 0 });
  assert.equal((await job.finished).reason, "cancelled");
});

test("the worker dials for ever, with waits of a full jitter", async () => {
  let failures = 30;
  const refuses = (): SallyportError | undefined => {
    failures -= 1;
    return failures > 0 ? new SallyportError("unauthenticated", "token: not known") : undefined;
  };
  await using rig = await startRig({ hooks: { refuses }, times: { backoffCapMs: 3 } });
  assert.equal(rig.worker.state, "ready");
  assert.equal(rig.hub.dials, 30);
});

test("output waits on disk while the hub is away, within its bound, and then stops the program; all of it arrives", async () => {
  let away = false;
  const refuses = (): SallyportError | undefined =>
    away ? new SallyportError("hub_unreachable", "hub: away") : undefined;
  await using rig = await startRig({
    hooks: { refuses },
    worker: { spoolBytes: 300_000, spoolMemoryBytes: 100_000 },
  });
  rig.hub.hooks.printed = () => {
    if (rig.hub.ends.length > 1 || away) return;
    away = true;
    rig.hub.end.link.cut();
  };
  const job = printing(rig);
  const dials = rig.hub.dials;
  await rig.hub.until(() => away && rig.hub.dials > dials + 5, "dials in vain");
  assert.equal(job.exits.length, 0);
  away = false;
  const outcome = await job.finished;
  const held = rig.hub.messages.filter((message) => message.type === "hello").at(-1)?.leases[0];
  assert.ok(held !== undefined && held.to - held.from > 100_000, "more than memory was kept");
  assert.ok(held.to - held.from <= 300_000 + 65_536, "not more than the bound was kept");
  assert.equal(outcome.output.truncated, false);
  assert.ok(job.printed("stdout").equals(text));
});

test("a hub that confirms nothing stops the program, which goes on where it was when the hub does", async () => {
  await using rig = await startRig({ hooks: { confirms: false } });
  const job = rig.hub.offer({ spec: { ...run("bytes", "8000000", "1") } });
  await rig.hub.until(() => job.started.length === 1, "start");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(job.exits.length, 0);
  rig.hub.hooks.confirms = true;
  rig.hub.end.link.cut();
  assert.equal((await job.finished).output.stdoutBytes, 8_000_000);
  assert.equal(job.printed("stdout").length, 8_000_000);
});
