/** The engine answers errors while a pool is refilled: few tries, typed ends for jobs, nothing half-made, and all again by itself. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { silentLog } from "../../src/log.ts";
import { createDockerDriver } from "../../src/sandbox/index.ts";
import * as docker from "../helpers/docker.ts";
import { sandboxesOf } from "../helpers/fleet.ts";
import { eventually } from "../helpers/hub.ts";
import { RecordingEngine, type EngineCall } from "../helpers/recording-engine.ts";
import { startRig, testProfile, type Rig } from "../helpers/simulated-hub.ts";

const skip = await docker.requireEngine();
if (skip === false) await docker.buildPrograms();

const warm = 2;
/** how long the cause lasts, `ms`: many tries, were they not spread */
const causeMs = 3_000;
const recoveryMs = 30_000;

const profile = testProfile("shell", {
  image: "sallyport/base",
  resources: { cpus: 1, memory: "64MiB", pids: 16, workspace: "8MiB", tmp: "8MiB" },
  languages: { shell: {} },
  pool: { warm, maxAge: "10m" },
});

const isCreate = ({ method, path }: EngineCall): boolean =>
  method === "POST" && path === "/containers/create";
const isStart = ({ method, path }: EngineCall): boolean =>
  method === "POST" && /^\/containers\/[^/]+\/start$/.test(path);

interface Bench extends AsyncDisposable {
  rig: Rig;
  engine: RecordingEngine;
  worker: string;
}

async function start(): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const worker = docker.workerId("pool-refill");
  stack.defer(() => docker.leakCheck(`dev.sallyport.worker=${worker}`));
  const engine = stack.use(await RecordingEngine.start());
  const driver = stack.use(
    createDockerDriver(
      { log: silentLog() },
      { worker, boot: randomUUID(), dockerHost: engine.address, guestPath: docker.guestPath },
    ),
  );
  const times = { backoffBaseMs: 500, backoffCapMs: 2_000, settleMs: 5_000 };
  const rig = stack.use(await startRig({ profiles: [profile], driver: () => driver, times }));
  const owned = stack.move();
  return { rig, engine, worker, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const waiting = ({ rig }: Bench): number =>
  rig.hub.messages.findLast((message) => message.type === "heartbeat")?.warm["shell"] ?? 0;

async function runOne({ rig }: Bench): Promise<{ reason: string; code: string | undefined; warm: boolean }> {
  const spec = { profile: "shell", run: { language: "shell", code: "true" } } as const;
  const { reason, error, timings } = await rig.hub.offer({ spec }).finished;
  return { reason, code: error?.code, warm: timings.warm };
}

const causes = [
  { name: "creates are refused", fails: isCreate, message: "no space left on device" },
  {
    name: "pids are full, so that what was made cannot be started",
    fails: isStart,
    message: "failed to create shim: fork/exec /usr/bin/runc: resource temporarily unavailable",
  },
];

for (const { name, fails, message } of causes) {
  test(`during a refill ${name}`, { skip, timeout: 120_000 }, async () => {
    await using it = await start();
    await eventually(async () => waiting(it) === warm, recoveryMs);
    const before = it.engine.calls.length;
    it.engine.refusal = (call) => (fails(call) ? message : undefined);
    for (let taken = 0; taken < warm; taken += 1) {
      const ended = await runOne(it);
      assert.deepEqual(ended, { reason: "exited", code: undefined, warm: true }, "what waits still serves");
    }
    const cold = await runOne(it);
    assert.equal(cold.reason, "never_started");
    assert.match(cold.code ?? "none", /^(engine_|capacity_)/, "its error says whose fault it is");
    await sleep(causeMs);
    const tries = it.engine.calls.slice(before).filter(fails).length;
    assert.ok(tries >= 2 && tries <= 2 + causeMs / 250, `${tries} tries are no storm`);
    await eventually(async () => (await sandboxesOf({ worker: it.worker })).length === 0, recoveryMs);
    it.engine.refusal = () => undefined;
    await eventually(async () => waiting(it) === warm, recoveryMs);
    await eventually(async () => (await sandboxesOf({ worker: it.worker })).length === warm, recoveryMs);
    assert.equal((await runOne(it)).warm, true);
  });
}
