/** What jobs that got their sandboxes from the pool can see of one another, and what is left when things break. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { silentLog } from "../../src/log.ts";
import type { AttemptOutcome, JobSpec } from "../../src/protocol/index.ts";
import { createDockerDriver, type Driver, type Profile } from "../../src/sandbox/index.ts";
import * as docker from "../helpers/docker.ts";
import { eventually } from "../helpers/hub.ts";
import { startRig, testProfile, type Rig, type SimulatedJob } from "../helpers/simulated-hub.ts";

const skip = await docker.requireEngine();
if (skip === false) await docker.buildPrograms();

const pooled = (over: Record<string, unknown> = {}): Profile =>
  testProfile("python", {
    image: "sallyport/python",
    resources: { cpus: 1, memory: "128MiB", pids: 32, workspace: "16MiB", tmp: "16MiB" },
    languages: { python: { preload: ["random", "uuid"] } },
    pool: { warm: 2, maxAge: "10m" },
    ...over,
  });

interface Bench extends AsyncDisposable {
  rig: Rig;
  driver: Driver;
  worker: string;
  waits: (count?: number) => Promise<void>;
  python: (code: string, spec?: Partial<JobSpec>) => SimulatedJob;
}

async function start(profiles: readonly Profile[], worker = docker.workerId("pool-test")): Promise<Bench> {
  const driver = createDockerDriver(
    { log: silentLog() },
    { ...docker.engineAt(), worker, boot: randomUUID(), guestPath: docker.guestPath },
  );
  const rig = await startRig({ profiles, driver: () => driver, times: { settleMs: 5_000 } });
  return {
    rig,
    driver,
    worker,
    waits: async (count = 2) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      const told = (): number =>
        rig.hub.messages.findLast((message) => message.type === "heartbeat")?.warm["python"] ?? 0;
      await rig.hub.until(() => told() === count, `${count} to wait`);
    },
    python: (code, spec = {}) =>
      rig.hub.offer({ spec: { profile: "python", run: { language: "python", code }, ...spec } }),
    [Symbol.asyncDispose]: async () => {
      await rig[Symbol.asyncDispose]();
      await driver[Symbol.asyncDispose]();
      await docker.leakCheck(`dev.sallyport.worker=${worker}`);
    },
  };
}

async function warm(job: SimulatedJob): Promise<AttemptOutcome> {
  const outcome = await job.finished;
  assert.deepEqual([outcome.reason, outcome.exitCode, outcome.timings.warm], ["exited", 0, true]);
  return outcome;
}

/** Leaves a mark wherever a process can leave one. */
const mark = `
import os, sys, random, socket, json, builtins
builtins.marked = json.marked = sys.marked = True
os.environ["MARK"] = "1"
for place in ("/workspace", "/tmp", "/dev/shm", "/run/sallyport"):
    open(place + "/mark", "w").write("mark")
random.seed(1)
left = socket.socket(socket.AF_UNIX); left.bind("\\0mark")
import ctypes
libc = ctypes.CDLL(None)
libc.shmget(4242, 4096, 0o1777); libc.semget(4242, 1, 0o1777); libc.msgget(4242, 0o1777)
if os.fork() == 0:
    import time; time.sleep(30)
print("marked", flush=True)
os._exit(0)
`;

/** Prints every mark it finds. */
const look = `
import os, sys, json, builtins, ctypes
libc = ctypes.CDLL(None)
found = [place for place in ("/workspace", "/tmp", "/dev/shm", "/run/sallyport") if os.path.exists(place + "/mark")]
found += [str(module) for module in (builtins, json, sys) if hasattr(module, "marked")]
found += [name for name in os.environ if name == "MARK"]
found += [line for line in open("/proc/net/unix") if "mark" in line]
found += [kind for kind, got in (("shm", libc.shmget(4242, 0, 0)), ("sem", libc.semget(4242, 0, 0)), ("msg", libc.msgget(4242, 0))) if got >= 0]
own = os.getpid()
found += [f"pid {pid}" for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, own)]
found += [name for name in os.listdir("/workspace") if name != "main.py"]
print(found)
`;

test(
  "a job finds nothing that another left: one after the other, and at the same time",
  { skip },
  async () => {
    await using it = await start([pooled()]);
    await it.waits();
    await warm(it.python(mark));
    await it.waits();
    const after = it.python(look);
    await warm(after);
    assert.equal(after.printed("stdout").toString(), "[]\n");
    await it.waits();
    const leaver = it.python(`${mark.replace("os._exit(0)", "")}\nimport time\ntime.sleep(1)\nos._exit(0)`);
    await it.rig.hub.until(() => leaver.printed("stdout").length > 0, "the marks");
    const beside = it.python(look);
    await warm(beside);
    assert.equal(beside.printed("stdout").toString(), "[]\n");
    await leaver.finished;
  },
);

test("no two jobs draw the same numbers, and each has a process of its own", { skip }, async () => {
  await using it = await start([pooled()]);
  const drawn = new Set<string>();
  for (let round = 0; round < 3; round += 1) {
    await it.waits();
    const code =
      "import random, uuid, os\nprint(random.random(), uuid.uuid4(), hash('x'), os.urandom(4).hex())";
    const jobs = [it.python(code), it.python(code)];
    await Promise.all(jobs.map(warm));
    for (const job of jobs)
      for (const text of job.printed("stdout").toString().trim().split(" ")) drawn.add(text);
  }
  assert.equal(drawn.size, 24);
});

test("jobs in another language find no interpreter beside them", { skip }, async () => {
  await using it = await start([pooled({ languages: { python: {}, shell: {} } })]);
  await it.waits();
  const code = "sleep 0.1; cat /proc/[0-9]*/comm";
  const job = it.python("", { run: { language: "shell", code } });
  await warm(job);
  const names = job.printed("stdout").toString().trim().split("\n");
  assert.deepEqual(
    names.filter((name) => name.includes("python")),
    [],
  );
});

test("a module that cannot be loaded is named in the profile's reason", { skip }, async () => {
  await using it = await start([pooled({ languages: { python: { preload: ["json", "no_such.module"] } } })]);
  const reason = (): string =>
    it.rig.hub.messages.findLast((message) => message.type === "profiles")?.profiles[0]?.unusable?.message ??
    "";
  await it.rig.hub.until(() => reason() !== "", "the profile to be told unusable");
  assert.match(
    reason(),
    /^languages\.python\.preload: no_such\.module: ModuleNotFoundError: No module named 'no_such'$/,
  );
});

test("what imports print is no output of the job", { skip }, async () => {
  await using it = await start([pooled({ languages: { python: { preload: ["this", "antigravity"] } } })]);
  await it.waits();
  const job = it.python("print('mine')");
  await warm(job);
  assert.deepEqual([job.printed("stdout").toString(), job.printed("stderr").toString()], ["mine\n", ""]);
});

test(
  "waiting sandboxes that are killed are replaced, and one whose interpreter is killed is too",
  { skip },
  async () => {
    await using it = await start([pooled()]);
    await it.waits();
    const before = await it.driver.list();
    const engine = docker.rawEngine();
    const [first, second] = before;
    assert.ok(first !== undefined && second !== undefined);
    await engine.getContainer(first.id).kill();
    const { Processes } = await engine.getContainer(second.id).top();
    const interpreter = Processes.find((row: string[]) => row.join(" ").includes("python3"));
    process.kill(Number(interpreter?.[1]), "SIGKILL");
    await eventually(async () => {
      const now = (await it.driver.list()).map(({ id }) => id);
      return now.length === 2 && !now.includes(first.id) && !now.includes(second.id);
    });
    await it.waits();
    await warm(it.python("print(1)"));
  },
);

test("the pool of a worker that is gone is removed by its next life", { skip }, async () => {
  const worker = docker.workerId("pool-test");
  const options = { ...docker.engineAt(), worker, boot: "gone", guestPath: docker.guestPath };
  await using earlier = createDockerDriver({ log: silentLog() }, options);
  const profile = pooled();
  await earlier.prepare(profile);
  const left = await earlier.create({ profile, lease: "pool-left", hosts: [] });
  await using it = await start([profile], worker);
  await it.waits();
  const now = await it.driver.list();
  assert.ok(now.every(({ id, lease }) => id !== left.id && lease.startsWith("pool-")));
});
