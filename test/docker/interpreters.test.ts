/**
 * The same programs in an interpreter that was waiting and in one that starts: same output, same exit. What a program may see of
 * the difference is that modules of its profile are loaded, and that its process is older.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { JobSpec } from "../../src/protocol/index.ts";
import { createGateway } from "../../src/egress/index.ts";
import { createDockerDriver, type Driver, type Profile } from "../../src/sandbox/index.ts";
import { silentLog } from "../../src/log.ts";
import * as docker from "../helpers/docker.ts";
import { programs, python, type Program } from "../helpers/interpreter-programs.ts";
import { startRig, testProfile, type Rig } from "../helpers/simulated-hub.ts";

const skip = await docker.requireEngine();

interface Seen {
  reason: string;
  exitCode: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

const resources = { cpus: 1, memory: "256MiB", pids: 64, workspace: "16MiB", tmp: "16MiB" };
const profiles: Profile[] = [
  testProfile("python", {
    image: "sallyport/python",
    resources,
    languages: { python: { preload: ["json", "random", "decimal"] } },
    env: { OWN: "profile", BOTH: "profile" },
    network: { mcp: [{ host: "*" }] },
    pool: { warm: 2, maxAge: "10m" },
  }),
  testProfile("node", {
    image: "sallyport/node",
    resources,
    languages: { node: { preload: ["node:zlib"] } },
    env: { OWN: "profile", BOTH: "profile" },
    network: { mcp: [{ host: "*" }] },
    pool: { warm: 2, maxAge: "10m" },
  }),
];
/** Without a route; what it puts into a sandbox is there all the same */
const network = createGateway({ audit: { record: () => undefined }, log: silentLog() });

async function start(pool: boolean): Promise<Rig & { wait: (profile: string) => Promise<void> }> {
  const worker = docker.workerId("warm-test");
  const driver: Driver = createDockerDriver(
    { log: silentLog() },
    { ...docker.engineAt(), worker, boot: "boot", guestPath: docker.guestPath, probePath: docker.probePath },
  );
  const times = { settleMs: 5_000, lingerMs: 1_000 };
  const rig = await startRig({ profiles, driver: () => driver, network, worker: { pool }, times });
  const told = (profile: string): number => {
    const beat = rig.hub.messages.findLast((message) => message.type === "heartbeat");
    return beat?.warm[profile] ?? 0;
  };
  return {
    ...rig,
    wait: async (profile) => {
      // longer than the hub is told late
      await new Promise((resolve) => setTimeout(resolve, 300));
      await rig.hub.until(() => told(profile) > 0, "one to wait");
    },
    [Symbol.asyncDispose]: async () => {
      await rig[Symbol.asyncDispose]();
      await driver[Symbol.asyncDispose]();
      await docker.leakCheck(`dev.sallyport.worker=${worker}`);
    },
  };
}

function specOf({ language, code, env = {}, files = {}, stdin }: Program): Partial<JobSpec> {
  return {
    profile: language,
    run: { language, code },
    env,
    files: Object.entries(files).map(([path, text]) => ({ path, size: Buffer.byteLength(text) })),
    stdin: stdin === undefined ? { mode: "none" } : { mode: "text", size: Buffer.byteLength(stdin) },
  };
}

async function see(rig: Rig, program: Program): Promise<Seen & { warm: boolean; cpuMs: number }> {
  const { files = {}, stdin = "" } = program;
  const inputs = Buffer.from(Object.values(files).join("") + stdin);
  const job = rig.hub.offer({ spec: specOf(program), inputs });
  const { reason, exitCode, signal, timings, usage } = await job.finished;
  const text = (kind: "stdout" | "stderr"): string =>
    // Node names its process in warnings
    job
      .printed(kind)
      .toString("utf8")
      .replaceAll(/\(node:\d+\)/g, "(node)");
  return {
    reason,
    exitCode,
    signal,
    stdout: text("stdout"),
    stderr: text("stderr"),
    warm: timings.warm,
    cpuMs: usage.cpuMs,
  };
}

if (skip === false) await docker.buildPrograms();
const rigs = skip === false ? await Promise.all([start(false), start(true)]) : undefined;
after(async () => {
  for (const rig of rigs ?? []) await rig[Symbol.asyncDispose]();
  await network[Symbol.asyncDispose]();
});

for (const [name, program] of Object.entries(programs)) {
  test(`${name}: the same warm as cold`, { skip }, async () => {
    assert.ok(rigs !== undefined);
    const [cold, warm] = rigs;
    await warm.wait(program.language);
    const { warm: wasWarm, cpuMs: _warm, ...inWaiting } = await see(warm, program);
    const { warm: notWarm, cpuMs: _cold, ...inFresh } = await see(cold, program);
    assert.deepEqual([wasWarm, notWarm], [true, false]);
    assert.match(inFresh.reason, /^(exited|signaled)$/);
    assert.ok(inFresh.stdout + inFresh.stderr !== "" || inFresh.signal !== null, "it ran");
    assert.deepEqual(inWaiting, inFresh);
  });
}

test(
  "where authorities are looked for is the same warm as cold, and a job's own word counts",
  { skip },
  async () => {
    assert.ok(rigs !== undefined);
    const [fresh, waiting] = rigs;
    const code = `import os
names = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
print([os.environ[name] for name in names], open("/run/sallyport/ca.crt").read().count("BEGIN CERTIFICATE"))`;
    for (const [env, own] of [
      [{}, "/run/sallyport/ca.crt"],
      [{ CURL_CA_BUNDLE: "/own" }, "/own"],
    ] as const) {
      await waiting.wait("python");
      const cold = await see(fresh, python(code, { env }));
      const warm = await see(waiting, python(code, { env }));
      assert.deepEqual([cold.warm, warm.warm, cold.stdout], [false, true, warm.stdout]);
      const path = "'/run/sallyport/ca.crt'";
      assert.equal(warm.stdout, `[${path}, ${path}, ${path}, '${own}'] 1\n`);
    }
  },
);

test("what was used before the job is not the job's usage", { skip }, async () => {
  assert.ok(rigs !== undefined);
  const [, warm] = rigs;
  await warm.wait("python");
  const { stdout, cpuMs } = await see(warm, python("import time\nprint(time.process_time() * 1000)"));
  assert.ok(cpuMs < Number(stdout), `${cpuMs} ms are told, the process had used ${stdout} ms`);
});
