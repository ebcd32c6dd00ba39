import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import type { EngineView, FleetWorker } from "../../../src/loadtest/contract.ts";
import { findLeaks, leakCount, type LeakReport } from "../../../src/loadtest/leaks.ts";
import { processesOf } from "../../../src/loadtest/processes.ts";
import { VirtualClock } from "./virtual-clock.ts";

type Inventory = Awaited<ReturnType<EngineView["inventory"]>>;

const nothing: Inventory = { sandboxes: [], volumes: [], networks: [] };
const never = new AbortController().signal;

/** Looks that find `looks` one after another, the last for ever. */
async function find(
  looks: Inventory[],
  options: { warm?: number; held?: number; seen?: string[]; processes?: number[] } = {},
): Promise<{ report: LeakReport; looked: number }> {
  const clock = new VirtualClock();
  const { warm = 0, held = 0, seen = ["a", "b", "c"], processes = [] } = options;
  let looked = 0;
  const view: EngineView = {
    seen: seen.map((id) => ({ id, madeAt: 0 })),
    complete: true,
    inventory: async () => looks[Math.min(looked++, looks.length - 1)] ?? nothing,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const worker: FleetWorker = { id: "w", version: null, held, warm: { fanout: warm }, profiles: ["fanout"] };
  const before = { volumes: ["old"], networks: [] };
  const deps = { clock, view, fleet: async () => [worker], before, processes: () => processes };
  return { report: await clock.run(findLeaks(deps, never)), looked };
}

test("what is gone a little later is no leak; one clean look is not enough to say so", async () => {
  const { report, looked } = await find([{ ...nothing, sandboxes: ["a", "b"] }, nothing, nothing]);
  assert.equal(leakCount(report), 0);
  assert.equal(report.unchecked, null);
  assert.equal(looked, 3);
});

test("what stays is a leak once patience is over", async () => {
  const { report } = await find([{ sandboxes: ["a"], volumes: ["old", "new"], networks: ["n"] }], {
    processes: [7],
  });
  assert.deepEqual([report.sandboxes, report.volumes, report.networks, report.processes], [1, 1, 1, 1]);
  assert.equal(report.waitedMs, 30_000);
});

test("warm sandboxes of pools and those of others' jobs are no leak, one more than those is", async () => {
  const there = { ...nothing, sandboxes: ["a", "b", "c"] };
  assert.equal(leakCount((await find([there], { warm: 2, held: 1 })).report), 0);
  assert.equal((await find([there], { warm: 1, held: 1 })).report.sandboxes, 1);
});

test("no sandbox was ever seen: nothing is claimed", async () => {
  const { report } = await find([nothing], { seen: [] });
  assert.match(report.unchecked ?? "", /none of the jobs' sandboxes was seen/);
});

test("the engine goes away: nothing is claimed", async () => {
  const view: EngineView = {
    seen: [{ id: "a", madeAt: 0 }],
    complete: true,
    inventory: async () => {
      throw new SallyportError("engine_unavailable", "gone");
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  const deps = { clock: new VirtualClock(), view, fleet: async () => [], before: nothing };
  assert.equal((await findLeaks(deps, never)).unchecked, "gone");
});

test("processes are found by their control group, and an engine's helper by its arguments", () => {
  const proc = mkdtempSync(join(tmpdir(), "sallyport-proc-"));
  try {
    const [ours, other] = ["a".repeat(64), "b".repeat(64)];
    const add = (pid: string, cgroup: string, cmdline: string): void => {
      mkdirSync(join(proc, pid));
      writeFileSync(join(proc, pid, "cgroup"), cgroup);
      writeFileSync(join(proc, pid, "cmdline"), cmdline);
    };
    add("10", `0::/system.slice/docker-${ours}.scope\n`, "sleep\0 1");
    add("11", `9:pids:/docker/${other}\n`, "sleep\0 1");
    add("12", "0::/system.slice/docker.service\n", `containerd-shim\0-id\0${ours}\0`);
    mkdirSync(join(proc, "13"));
    writeFileSync(join(proc, "uptime"), ours);
    assert.deepEqual(processesOf(new Set([ours]), proc), [10, 12]);
    assert.equal(processesOf(new Set([ours]), join(proc, "missing")), undefined);
  } finally {
    rmSync(proc, { recursive: true });
  }
});
