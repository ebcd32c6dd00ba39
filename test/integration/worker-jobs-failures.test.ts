/** What is told of a job whose command, guest or sandbox fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SallyportError } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import type {
  Driver,
  Exec,
  ExecSpec,
  FakeDriver,
  Guest,
  Sandbox,
  SandboxSpec,
} from "../../src/sandbox/index.ts";
import { run, startRig } from "../helpers/simulated-hub.ts";

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

test("memory that ran out is told as oom", async () => {
  await using rig = await startRig();
  const outcome = await rig.hub.offer({ spec: run("oom") }).finished;
  assert.deepEqual([outcome.reason, outcome.oom], ["oom", true]);
});

test("a sandbox that goes away under its command is sandbox_lost, never an exit", async () => {
  const lines: string[] = [];
  const log = createLog({ level: "info", destination: { write: (line: string) => void lines.push(line) } });
  await using rig = await startRig({ log });
  const job = rig.hub.offer({ spec: run("hang") });
  await rig.hub.until(() => job.started.length === 1, "start");
  for (const id of rig.driver.engine.sandboxes.keys()) rig.driver.lose(id);
  const outcome = await job.finished;
  assert.deepEqual(
    [outcome.reason, outcome.exitCode, outcome.error?.code],
    ["sandbox_lost", null, "sandbox_lost"],
  );
  assert.match(outcome.error?.message ?? "", /ended from outside/);
  const told = lines.filter((line) => line.includes(`"msg":"sandbox lost"`));
  assert.equal(told.length, 1, "the worker's log tells it once");
  assert.ok(told[0]?.includes(outcome.error?.message ?? ""), "with the reason");
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
