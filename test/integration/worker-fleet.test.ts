/** Offers, capacity, profiles, drain and abort. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SallyportError } from "../../src/errors.ts";
import { createLog, silentLog } from "../../src/log.ts";
import { createFakeDriver, FakeEngine, type FakeFaults, type Profile } from "../../src/sandbox/index.ts";
import { createWorker } from "../../src/worker/index.ts";
import { eventually } from "../helpers/hub.ts";
import { run, startRig, SimulatedHub, testProfile, type Rig } from "../helpers/simulated-hub.ts";

/** Of a worker that gets no job */
const bareOptions = {
  workerId: "w",
  bootId: "b",
  version: "0",
  labels: {},
  slots: 1,
  memoryBytes: 2 ** 30,
  cpus: 1,
  spoolDir: "/nonexistent",
};

test("a worker is ready once the hub has answered something that came after what it serves", async () => {
  await using hub = new SimulatedHub({}, { renews: false });
  const profile = testProfile("fast");
  await using worker = createWorker(
    {
      driver: createFakeDriver(),
      dial: hub.dial,
      profiles: () => new Map([[profile.name, profile]]),
      log: silentLog(),
    },
    bareOptions,
  );
  let ready = false;
  worker.onReady(() => (ready = true));
  void worker.run();
  const beats = (): number[] =>
    hub.messages.flatMap((message) => (message.type === "heartbeat" ? [message.seq] : []));
  await hub.until(() => beats().length > 0, "a heartbeat");
  const told = hub.messages.findLast((message) => "profiles" in message);
  assert.deepEqual(
    told?.profiles.map(({ unusable }) => unusable),
    [null],
  );
  assert.equal(ready, false);
  hub.say({ type: "heartbeat.ack", seq: beats()[0] ?? 0, cancelled: [] });
  await eventually(() => ready);
});

test("the same offer again gets the same answer and runs once", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: run("echo", "once") });
  rig.hub.sendOffer(job);
  await job.finished;
  rig.hub.sendOffer(job);
  await rig.hub.until(() => job.answers.length === 3, "three answers");
  assert.deepEqual(new Set(job.answers.map(({ type }) => type)), new Set(["offer.accept"]));
  assert.equal(job.started.length, 1);
});

test("a refused offer is refused again, a later epoch of it is looked at anew", async () => {
  await using rig = await startRig({ worker: { slots: 1 } });
  const busy = rig.hub.offer({ spec: run("hang") });
  const job = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => job.answers.length === 1, "answer");
  rig.hub.say({ type: "lease.cancel", ...busy.ref, reason: "cancelled", graceMs: 0 });
  await busy.finished;
  rig.hub.sendOffer(job);
  await rig.hub.until(() => job.answers.length === 2, "second answer");
  assert.deepEqual(job.answers[0], job.answers[1]);
  const again = rig.hub.offer({ spec: run("true"), ref: { ...job.ref, epoch: 2 } });
  assert.equal((await again.finished).reason, "exited");
});

test("a newer grant of a held lease ends the older one, and starts only when that is gone", async () => {
  const beside: number[] = [];
  const create = (): undefined => {
    beside.push(rig.driver.engine.sandboxes.size);
  };
  await using rig = await startRig({ faults: { create } });
  const first = rig.hub.offer({ spec: run("hang"), ref: { lease: "same" } });
  await rig.hub.until(() => first.started.length === 1, "start");
  const second = rig.hub.offer({ spec: run("true"), ref: { lease: "same", epoch: 2 } });
  assert.equal((await second.finished).reason, "exited");
  assert.deepEqual(beside, [0, 0]);
  assert.equal(first.exits.length, 0);
});

/** Why this profile could not be served, as the hub was told it again and again */
function unusableTold(rig: Rig, profile: string): (string | undefined)[] {
  return rig.hub.messages
    .flatMap((message) => (message.type === "hello" || message.type === "profiles" ? [message.profiles] : []))
    .map((profiles) => profiles.find(({ name }) => name === profile)?.unusable?.code);
}

function withMemory(name: string, memory: string): Profile {
  return testProfile(name, { resources: { cpus: 1, memory, pids: 16, workspace: "1MiB", tmp: "1MiB" } });
}

test("offers that cannot be served are refused with the reason", async () => {
  const prepare = (profile: { name: string }): SallyportError | undefined =>
    profile.name === "broken" ? new SallyportError("image_unavailable", "image: gone") : undefined;
  const profiles = [testProfile("fast"), testProfile("broken"), withMemory("large", "1GiB")];
  await using rig = await startRig({
    profiles,
    faults: { prepare },
    worker: { slots: 2, memoryBytes: 2 ** 30 },
  });
  const reasons = async (spec: Parameters<typeof rig.hub.offer>[0]["spec"]): Promise<string> => {
    const job = rig.hub.offer({ spec });
    await rig.hub.until(() => job.answers.length === 1, "answer");
    const [answer] = job.answers;
    return answer?.type === "offer.reject" ? answer.reason : "accepted";
  };
  assert.equal(await reasons({ profile: "nowhere" }), "profile_unknown");
  assert.equal(await reasons({ profile: "broken" }), "profile_unusable");
  assert.equal(await reasons(run("hang")), "accepted");
  assert.equal(await reasons({ profile: "large" }), "no_memory");
  assert.equal(await reasons(run("hang")), "accepted");
  assert.equal(await reasons({}), "no_slot");
});

test("a profile that asks for more memory than the worker promises to all is told with what there is, and given no job", async () => {
  const profiles = [withMemory("large", "1GiB"), withMemory("huge", "2GiB")];
  await using rig = await startRig({ profiles, worker: { memoryBytes: 2 ** 30 } });
  await rig.hub.until(() => unusableTold(rig, "huge").at(-1) === "profile_unusable", "the reason");
  assert.equal(unusableTold(rig, "large").at(-1), undefined);
  const refused = rig.hub.offer({ spec: { profile: "huge" } });
  await rig.hub.until(() => refused.answers.length === 1, "answer");
  const [answer] = refused.answers;
  assert.ok(answer?.type === "offer.reject" && answer.reason === "profile_unusable");
  assert.match(
    answer.detail ?? "",
    /profile huge: resources\.memory asks for 2GiB, this worker promises 1GiB/,
  );
});

test("a profile that cannot be prepared is told with its reason, tried again, and told again once it can", async () => {
  const faults: FakeFaults = {
    prepare: (profile) =>
      profile.name === "late" ? new SallyportError("image_unavailable", "image: not yet") : undefined,
  };
  await using rig = await startRig({ profiles: [testProfile("fast"), testProfile("late")], faults });
  const told = (): (string | undefined)[] => unusableTold(rig, "late");
  await rig.hub.until(() => told().at(-1) === "image_unavailable", "the reason");
  delete faults.prepare;
  await rig.hub.until(() => told().length > 1 && told().at(-1) === undefined, "the recovery");
  assert.equal((await rig.hub.offer({ spec: { profile: "late" } }).finished).reason, "exited");
});

test("a reason that differs by the name of a container alone is told once", async () => {
  let tries = 0;
  const faults: FakeFaults = {
    prepare: () => {
      tries += 1;
      const reason = `moby/${String(tries).padStart(64, "a")}/log.json: no such file`;
      return new SallyportError("runtime_unavailable", `runtime runsc: ${reason}`, { details: { reason } });
    },
  };
  await using rig = await startRig({ profiles: [testProfile("fast")], faults });
  const told = (): (string | undefined)[] => unusableTold(rig, "fast");
  await rig.hub.until(() => told().at(-1) === "runtime_unavailable", "the reason");
  const [since, before] = [told().length, tries];
  await rig.hub.until(() => tries > before + 3, "more tries");
  assert.equal(told().length, since, "nothing else was told meanwhile");
});

for (const code of ["engine_failed", "profile_unusable"] as const) {
  test(`an engine that makes no sandbox (${code}) is given no job until it makes one, though the image is there`, async () => {
    let tries = 0;
    const faults: FakeFaults = {
      create: () => {
        tries += 1;
        return new SallyportError(code, `create sallyport-${tries}: no`, { details: { reason: "no" } });
      },
    };
    await using rig = await startRig({ profiles: [testProfile("fast")], faults });
    const told = (): (string | undefined)[] => unusableTold(rig, "fast");
    assert.equal((await rig.hub.offer({ spec: run("true") }).finished).error?.code, code);
    await rig.hub.until(() => told().at(-1) === code, "the reason");
    const since = told().length;
    await rig.hub.until(() => tries > 3, "some tries");
    const refused = rig.hub.offer({ spec: run("true") });
    await rig.hub.until(() => refused.answers.length === 1, "answer");
    assert.equal(refused.answers[0]?.type, "offer.reject");
    assert.equal(told().length, since, "nothing else was told meanwhile");
    delete faults.create;
    await rig.hub.until(() => told().at(-1) === undefined, "the recovery");
    assert.equal((await rig.hub.offer({ spec: run("true") }).finished).reason, "exited");
  });
}

test("100 leases on 8 slots: 100 results, never more than 8 sandboxes", async () => {
  let most = 0;
  const create = (): undefined => {
    most = Math.max(most, rig.driver.engine.sandboxes.size + 1);
  };
  await using rig = await startRig({ faults: { create, createMs: 1 } });
  const results: string[] = [];
  let offered = 0;
  const next = async (): Promise<void> => {
    while (offered < 100) {
      offered += 1;
      results.push((await rig.hub.offer({ spec: run("sleep", "3") }).finished).reason);
    }
  };
  await Promise.all(Array.from({ length: 8 }, next));
  assert.deepEqual([results.length, new Set(results)], [100, new Set(["exited"])]);
  assert.equal(most, 8);
});

test("drain: nothing new, renewals go on, it ends when the last job does", async () => {
  await using rig = await startRig({ intervals: { heartbeatMs: 10 } });
  const job = rig.hub.offer({ spec: { ...run("cat"), stdin: { mode: "stream" } } });
  await rig.hub.until(() => job.started.length === 1, "start");
  const drained = rig.worker.drain();
  assert.equal(rig.worker.state, "draining");
  const refused = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => refused.answers.length === 1, "answer");
  assert.equal(refused.answers[0]?.type === "offer.reject" && refused.answers[0].reason, "draining");
  const beats = (): number => rig.hub.messages.filter(({ type }) => type === "heartbeat").length;
  const before = beats();
  await rig.hub.until(() => beats() > before + 3, "more beats");
  rig.hub.end.link.cut();
  await rig.hub.until(() => rig.hub.ends.length === 2, "reconnect while draining");
  const later = beats();
  await rig.hub.until(() => beats() > later + 3, "beats over the new channel");
  rig.hub.end.channel.open({ kind: "stdin", ...job.ref }).end();
  await drained;
  assert.equal(job.exits[0]?.reason, "exited");
  assert.equal(rig.worker.state, "stopped");
});

test("drain asked for by the hub, with a deadline: what is not over by then is aborted and told", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  rig.hub.say({ type: "drain", deadlineMs: 30 });
  await rig.worker.run();
  assert.deepEqual([job.exits[0]?.reason, job.exits[0]?.error?.code], ["worker_lost", "shutting_down"]);
});

test("drain tells what holds it up", async () => {
  const lines: string[] = [];
  const log = createLog({ destination: { write: (line) => void lines.push(line) } });
  await using rig = await startRig({ log, times: { drainLogMs: 10 } });
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  void rig.worker.drain();
  await rig.hub.until(
    () => lines.some((line) => line.includes("still drains") && line.includes(job.ref.lease)),
    "a line",
  );
});

test("abort kills every sandbox at once, also while the hub is away", async () => {
  await using rig = await startRig();
  const jobs = [1, 2, 3].map(() => rig.hub.offer({ spec: run("hang") }));
  await rig.hub.until(() => jobs.every((job) => job.started.length === 1), "starts");
  rig.hub.hooks.refuses = () => new SallyportError("hub_unreachable", "hub: away");
  rig.hub.end.link.cut();
  rig.worker.abort(new SallyportError("shutting_down", "second signal"));
  await rig.worker.run();
  assert.deepEqual(await rig.driver.list(), []);
});

test("a worker that is aborted while a sandbox is being made leaves none", async () => {
  await using rig = await startRig({ faults: { createMs: 200 } });
  const job = rig.hub.offer({ spec: run("true") });
  await rig.hub.until(() => job.answers.length === 1, "accept");
  rig.worker.abort(new SallyportError("shutting_down", "stop"));
  await rig.worker.run();
  assert.deepEqual([job.exits[0]?.reason, await rig.driver.list()], ["never_started", []]);
});

test("a worker that was never run stops at once", async () => {
  const hub = new SimulatedHub();
  const worker = createWorker(
    {
      driver: createFakeDriver(),
      dial: hub.dial,
      profiles: () => new Map(),
      log: silentLog(),
    },
    bareOptions,
  );
  await worker[Symbol.asyncDispose]();
  assert.deepEqual([worker.state, hub.dials], ["stopped", 0]);
});

test("sandboxes of an earlier life are gone before the first job", async () => {
  const engine = new FakeEngine();
  const earlier = createFakeDriver({ engine, boot: "earlier" });
  await earlier.create({ profile: testProfile("fast"), lease: "old", hosts: [] });
  const now = createFakeDriver({ engine, boot: "now" });
  await using rig = await startRig({ driver: () => now });
  assert.deepEqual(await now.list(), []);
  assert.equal((await rig.hub.offer({ spec: run("true") }).finished).reason, "exited");
});
