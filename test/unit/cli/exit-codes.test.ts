import assert from "node:assert/strict";
import { test } from "node:test";
import { describeEnd, exitCodeOf } from "../../../src/cli/exit-codes.ts";
import { table } from "../../../src/cli/table.ts";
import type { JobResult } from "../../../src/client/index.ts";
import { result } from "../client/scripted-hub.ts";

const ended = (change: Partial<JobResult>): JobResult => ({ ...(result as JobResult), ...change });
const error = (code: string) => ({ code, message: "m" });

const rows: [string, Partial<JobResult>, number][] = [
  ["success", {}, 0],
  ["its own code", { exitCode: 3 }, 3],
  ["its own code although memory ran out for a child", { exitCode: 9, oom: true }, 9],
  ["a signal", { reason: "signaled", exitCode: null, signal: "SIGTERM" }, 143],
  ["a kill", { reason: "signaled", exitCode: null, signal: "SIGKILL" }, 137],
  ["out of memory", { reason: "oom", exitCode: null, signal: "SIGKILL" }, 137],
  ["too much output", { reason: "output_limit", exitCode: null, signal: "SIGKILL" }, 137],
  ["a timeout", { reason: "timeout", exitCode: null, signal: "SIGTERM" }, 124],
  ["a cancel", { reason: "cancelled", exitCode: null }, 130],
  ["a lost worker", { reason: "worker_lost", exitCode: null }, 125],
  ["a lost sandbox", { reason: "sandbox_lost", exitCode: null }, 125],
  ["never started", { reason: "never_started", exitCode: null, error: error("image_unavailable") }, 125],
  ["no such command", { reason: "never_started", exitCode: null, error: error("command_not_found") }, 127],
  [
    "not executable",
    { reason: "never_started", exitCode: null, error: error("command_not_executable") },
    126,
  ],
];

for (const [what, change, code] of rows) {
  test(`${what} exits ${code}`, () => {
    assert.equal(exitCodeOf(ended(change)), code);
    assert.equal(describeEnd(ended(change)) === undefined, (change.reason ?? "exited") === "exited");
  });
}

test("a table is aligned, and no control character gets through", () => {
  assert.equal(
    table(
      ["A", "LONG"],
      [
        ["xyz", null],
        ["\u001b[31m", "1"],
      ],
    ),
    "A      LONG\nxyz    -\n [31m  1",
  );
});
