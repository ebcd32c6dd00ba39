import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { verifyAudit } from "../../src/audit/index.ts";
import { folder } from "../unit/audit/rig.ts";

const child = new URL("./audit-crash-child.ts", import.meta.url).pathname;

/** Runs a writer until it said `lines` times what is on disk, kills it at once, and tells the last it said. */
async function killedAfter(lines: number, dir: string): Promise<number> {
  const writer = spawn(process.execPath, [child, dir], { stdio: ["ignore", "pipe", "inherit"] });
  const gone = once(writer, "exit");
  let [said, kept] = [0, 0];
  for await (const line of createInterface(writer.stdout)) {
    kept = Number(line);
    said += 1;
    if (said === lines) writer.kill("SIGKILL");
  }
  await gone;
  return kept;
}

test("a log whose writer is killed at any moment verifies, holds all that was on disk, and goes on", async () => {
  await using at = await folder();
  let least = 0;
  for (const lines of [1, 13, 40]) {
    least += await killedAfter(lines, at.dir);
    const report = await verifyAudit(at.dir);
    assert.deepEqual([report.ok, report.fault], [true, null]);
    assert.ok(report.to >= least, `${report.to} lines of at least ${least}`);
    least = report.to;
  }
  await at.fill(1);
  const { ok, files, from, unfinished } = await verifyAudit(at.dir);
  assert.deepEqual([ok, from, unfinished], [true, 1, 0]);
  assert.ok(files > 1);
});
