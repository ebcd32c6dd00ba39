/** One job from offer to report, against a simulated hub and the fake driver. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SallyportError } from "../../src/errors.ts";
import type {
  Driver,
  Exec,
  ExecSpec,
  FakeDriver,
  Guest,
  Sandbox,
  SandboxSpec,
} from "../../src/sandbox/index.ts";
import { anyBytes, run, startRig, testProfile } from "../helpers/simulated-hub.ts";

/** The fake driver with each guest replaced by `wrap(guest)`. */
function withGuest(fake: FakeDriver, wrap: (guest: Guest) => Partial<Guest>): Driver {
  return {
    name: "fake",
    probe: (signal) => fake.probe(signal),
    prepare: (profile, signal) => fake.prepare(profile, signal),
    list: () => fake.list(),
    reap: (graceMs) => fake.reap(graceMs),
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
    create: async (spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox> => {
      const sandbox = await fake.create(spec, signal);
      const guest: Guest = {
        files: sandbox.guest.files,
        closed: sandbox.guest.closed,
        exec: (exec) => sandbox.guest.exec(exec),
        listen: (ports, onConnection) => sandbox.guest.listen(ports, onConnection),
        connect: (port) => sandbox.guest.connect(port),
        killAll: () => sandbox.guest.killAll(),
        close: () => sandbox.guest.close(),
        ...wrap(sandbox.guest),
      };
      return {
        id: sandbox.id,
        profile: sandbox.profile,
        ended: sandbox.ended,
        guest,
        stats: () => sandbox.stats(),
        memoryRanOut: () => sandbox.memoryRanOut(),
        [Symbol.asyncDispose]: () => sandbox[Symbol.asyncDispose](),
      };
    },
  };
}

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

test("memory that ran out is told as oom", async () => {
  await using rig = await startRig();
  const outcome = await rig.hub.offer({ spec: run("oom") }).finished;
  assert.deepEqual([outcome.reason, outcome.oom], ["oom", true]);
});

test("a sandbox that goes away under its command is sandbox_lost, never an exit", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  for (const id of rig.driver.engine.sandboxes.keys()) rig.driver.lose(id);
  const outcome = await job.finished;
  assert.deepEqual(
    [outcome.reason, outcome.exitCode, outcome.error?.code],
    ["sandbox_lost", null, "sandbox_lost"],
  );
});

test("the end of the output streams is not taken for an exit", async () => {
  const silent = (guest: Guest): Partial<Guest> => ({
    exec: async (spec: ExecSpec): Promise<Exec> => {
      const exec = await guest.exec(spec);
      const nothing: AsyncIterable<never> = {
        [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }) }),
      };
      return facade(exec, { output: nothing });
    },
  });
  await using rig = await startRig({ driver: (fake) => withGuest(fake, silent) });
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(job.exits.length, 0);
  rig.hub.say({ type: "lease.cancel", ...job.ref, reason: "cancelled", graceMs: 0 });
  assert.equal((await job.finished).reason, "cancelled");
});

test("a child that holds the output open is killed soon after the command's exit, and the exit is told", async () => {
  let killed = 0;
  const lingering = (guest: Guest): Partial<Guest> => ({
    exec: async (spec: ExecSpec): Promise<Exec> => {
      const child = await guest.exec({ ...spec, argv: ["hang"] });
      return facade(child, {
        exit: Promise.resolve({ exitCode: 0, signal: null, usage: { cpuMs: 1, maxRssBytes: 2 } }),
        killTree: () => {
          killed += 1;
          child.killTree();
        },
      });
    },
  });
  await using rig = await startRig({ driver: (fake) => withGuest(fake, lingering) });
  const outcome = await rig.hub.offer({ spec: run("anything") }).finished;
  assert.deepEqual([outcome.reason, outcome.exitCode, killed], ["exited", 0, 1]);
});

function facade(exec: Exec, over: Partial<Exec>): Exec {
  return {
    id: exec.id,
    output: exec.output,
    stdin: exec.stdin,
    exit: exec.exit,
    signal: (name) => exec.signal(name),
    killTree: () => exec.killTree(),
    resize: (size) => exec.resize(size),
    ...over,
  };
}

test("a sandbox that cannot be made: never_started with the engine's own error", async () => {
  const create = (): SallyportError => new SallyportError("engine_failed", "engine: no space");
  await using rig = await startRig({ faults: { create } });
  const outcome = await rig.hub.offer({ spec: run("true") }).finished;
  assert.deepEqual(
    [outcome.reason, outcome.error?.code, outcome.logEnd],
    ["never_started", "engine_failed", 0],
  );
});

test("a command that does not exist never started", async () => {
  await using rig = await startRig();
  const outcome = await rig.hub.offer({ spec: run("no-such-program") }).finished;
  assert.deepEqual([outcome.reason, outcome.error?.code], ["never_started", "command_not_found"]);
});

test("a guest that breaks off after the command was asked for: lost, not never_started", async () => {
  const broken = (): Partial<Guest> => ({
    exec: () => Promise.reject(new SallyportError("guest_violation", "guest: nonsense")),
  });
  await using rig = await startRig({ driver: (fake) => withGuest(fake, broken) });
  const outcome = await rig.hub.offer({ spec: run("true") }).finished;
  assert.deepEqual([outcome.reason, outcome.error?.code], ["sandbox_lost", "guest_violation"]);
});

test("files and stdin text come out of the inputs stream", async () => {
  await using rig = await startRig();
  const a = anyBytes(1_500_000);
  const inputs = Buffer.concat([a, Buffer.from("small")]);
  const files = [
    { path: "data/a.bin", size: a.length },
    { path: "empty", size: 0 },
    { path: "b", size: 5 },
  ];
  const read = rig.hub.offer({ spec: { ...run("read", "data/a.bin"), files }, inputs });
  assert.equal((await read.finished).reason, "exited");
  assert.ok(read.printed("stdout").equals(a));
  const cat = rig.hub.offer({
    spec: { ...run("cat"), files: [{ path: "x", size: 5 }], stdin: { mode: "text", size: a.length } },
    inputs: Buffer.concat([Buffer.from("small"), a]),
  });
  assert.equal((await cat.finished).exitCode, 0);
  assert.ok(cat.printed("stdout").equals(a));
});

test("inputs that broke off with the channel are taken up over the next one", async () => {
  await using rig = await startRig({ hooks: { sendsInputs: false } });
  const text = anyBytes(700_000);
  const job = rig.hub.offer({
    spec: { ...run("cat"), stdin: { mode: "text", size: text.length } },
    inputs: text,
  });
  await rig.hub.until(() => job.answers.length === 1, "accept");
  const half = rig.hub.end.channel.open({ kind: "inputs", ...job.ref });
  half.finished.catch(() => undefined);
  await half.write(text.subarray(0, 300_000));
  await rig.hub.until(() => half.granted > 0, "some of it to be used");
  rig.hub.end.link.cut();
  await rig.hub.until(() => rig.hub.ends.length === 2, "reconnect");
  rig.hub.sendInputs(rig.hub.end.channel, job);
  assert.equal((await job.finished).reason, "exited");
  assert.ok(job.printed("stdout").equals(text));
});

test("inputs that never come: never_started, and the slot is free again", async () => {
  await using rig = await startRig({
    hooks: { sendsInputs: false },
    times: { inputsMs: 30 },
    worker: { slots: 1 },
  });
  const spec = { ...run("true"), files: [{ path: "a", size: 3 }] };
  const outcome = await rig.hub.offer({ spec, inputs: Buffer.from("abc") }).finished;
  assert.deepEqual([outcome.reason, outcome.error?.code], ["never_started", "deadline_exceeded"]);
  assert.equal((await rig.hub.offer({ spec: run("true") }).finished).reason, "exited");
});

test("streamed stdin reaches the program as it comes", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: { ...run("cat"), stdin: { mode: "stream" } } });
  await rig.hub.until(() => job.started.length === 1, "start");
  const stdin = rig.hub.end.channel.open({ kind: "stdin", ...job.ref });
  await stdin.write(Buffer.from("one "));
  await rig.hub.until(() => job.printed("stdout").toString() === "one ", "the first part");
  await stdin.write(Buffer.from("two"));
  stdin.end();
  assert.equal((await job.finished).reason, "exited");
  assert.equal(job.printed("stdout").toString(), "one two");
});

test("a stream for a lease that is not held is reset", async () => {
  await using rig = await startRig();
  const stream = rig.hub.end.channel.open({ kind: "stdin", lease: "nobody", attempt: 1, epoch: 1 });
  await assert.rejects(stream.finished, { code: "stream_reset" });
});

test("a job's own file may not take the place of its code", async () => {
  await using rig = await startRig();
  const spec = { run: { language: "python", code: "print(1)" }, files: [{ path: "main.py", size: 0 }] };
  const outcome = await rig.hub.offer({ spec }).finished;
  assert.deepEqual([outcome.reason, outcome.error?.code], ["never_started", "request_invalid"]);
});

test("artifacts: a file is sent, what is missing, a folder or too large is told by name", async () => {
  await using rig = await startRig();
  const inputs = Buffer.concat([Buffer.alloc(4_000, 1), Buffer.from("keep")]);
  const files = [
    { path: "large", size: 4_000 },
    { path: "dir/keep", size: 4 },
  ];
  const spec = {
    ...run("true"),
    files,
    artifacts: ["dir/keep", "missing", "large", "dir"],
    artifactBytes: 1_000,
  };
  const job = rig.hub.offer({ spec, inputs });
  const { artifacts } = await job.finished;
  assert.deepEqual(artifacts[0], { path: "dir/keep", size: 4 });
  assert.equal(job.artifacts.get("dir/keep")?.toString(), "keep");
  assert.deepEqual(
    artifacts.slice(1).map(({ path, error }) => [path, error?.code]),
    [
      ["missing", "file_unknown"],
      ["large", "limit_exceeds_profile"],
      ["dir", "file_refused"],
    ],
  );
});
