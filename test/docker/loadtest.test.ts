/** `loadtest` on a real engine: what it measures is what the engine did, and a leak is seen. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import type { Report } from "../../src/loadtest/index.ts";
import { rawEngine, requireEngine } from "../helpers/docker.ts";
import { Fleet } from "../helpers/fleet.ts";

const skip = await requireEngine();

async function measured(
  fleet: Fleet,
  args: string[],
): Promise<{ code: number | null; report: Report; stderr: string }> {
  const { code, stdout, stderr } = await fleet.run(["loadtest", "--json", ...args]);
  assert.ok(stdout.length > 0, stderr);
  return { code, report: JSON.parse(stdout.toString("utf8").trim()) as Report, stderr };
}

test(
  "fanout, 20 jobs by 4 callers: all succeed, their sandboxes were followed, nothing is left",
  { skip },
  async () => {
    await using fleet = await Fleet.make();
    await fleet.startDev(["--slots", "4"]);
    const { code, report, stderr } = await measured(fleet, [
      "--profile",
      "fanout",
      "--concurrency",
      "4",
      "--total",
      "20",
    ]);
    assert.equal(
      code,
      0,
      `${stderr}\n${JSON.stringify({ ...report, records: [], slices: [], hostPoints: [] })}`,
    );
    assert.deepEqual(report.jobs, { finished: 20, succeeded: 20, failed: 0 });
    assert.equal(report.sandboxes.warm + report.sandboxes.cold, 20);
    assert.ok((report.sandboxes.made ?? 0) >= report.sandboxes.cold, JSON.stringify(report.sandboxes));
    assert.ok(report.leaks.followed >= 20, JSON.stringify(report.leaks));
    assert.deepEqual(
      [report.leaks.unchecked, report.leaks.sandboxes, report.leaks.volumes, report.leaks.networks],
      [null, 0, 0, 0],
    );
    assert.equal(report.leaks.processes, 0);
    assert.ok(report.hostPoints.length > 0 && report.peak.maxRssBytes > 0);
  },
);

test(
  "a volume that appears under the load with the worker's label is a leak, exit code 1",
  { skip },
  async () => {
    await using fleet = await Fleet.make();
    await fleet.startDev(["--slots", "2"]);
    const engine = rawEngine();
    const labels = { "dev.sallyport.worker": fleet.workerId(".sallyport") };
    const loading = measured(fleet, [
      "--profile",
      "shell",
      "--total",
      "6",
      "--concurrency",
      "2",
      "--",
      "sleep",
      "1",
    ]);
    // The run has looked at what was there before by the time its first job ends.
    await fleet.client.jobs.list();
    for (let waited = 0; waited < 100; waited += 1) {
      if ((await fleet.client.jobs.list({ state: "succeeded" })).jobs.length > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const name = `sallyport-leak-${randomUUID()}`;
    await engine.createVolume({ Name: name, Labels: labels });
    try {
      const { code, report } = await loading;
      assert.equal(code, 1);
      assert.equal(report.leaks.volumes, 1);
      assert.equal(report.jobs.failed, 0);
    } finally {
      await engine.getVolume(name).remove();
    }
  },
);
