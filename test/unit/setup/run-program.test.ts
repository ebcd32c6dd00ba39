import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runProgram } from "../../../scripts/setup/run-program.mjs";
import { eventually } from "../../helpers/hub.ts";

const signal = new AbortController().signal;

test("a program that fails is told with its exit code and the end of what it printed", async () => {
  const script = "for i in $(seq 100); do echo line $i; done; echo why >&2; exit 3";
  await assert.rejects(runProgram(["sh", "-c", script], { signal }), (error: Error & { output: string }) => {
    assert.match(error.message, /exit code 3/);
    assert.match(error.output, /line 100\nwhy$/);
    assert.doesNotMatch(error.output, /line 1\n/);
    return true;
  });
});

test("a program that is not there is told by name", async () => {
  await assert.rejects(runProgram(["sallyport-no-such-program"], { signal }), /sallyport-no-such-program/);
});

test("an abort ends the program's children too", async () => {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-run-"));
  try {
    const stop = new AbortController();
    const script = `sleep 60 & echo $! > ${dir}/pid.tmp; mv ${dir}/pid.tmp ${dir}/pid; wait`;
    const running: Promise<string> = runProgram(["sh", "-c", script], { signal: stop.signal });
    while (!existsSync(join(dir, "pid"))) await new Promise((resolve) => setTimeout(resolve, 10));
    stop.abort(new Error("enough"));
    await assert.rejects(running, /enough/);
    const child = Number(await readFile(join(dir, "pid"), "utf8"));
    // a process closes its files a moment before it is gone
    const isGone = async (): Promise<boolean> =>
      /^(gone|\d+ \(sleep\) [ZX])/.test(await readFile(`/proc/${child}/stat`, "utf8").catch(() => "gone"));
    await eventually(isGone);
  } finally {
    await rm(dir, { recursive: true });
  }
});
