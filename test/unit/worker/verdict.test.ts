import assert from "node:assert/strict";
import { test } from "node:test";
import type { SandboxEnd } from "../../../src/sandbox/index.ts";
import type { Action, StopReason } from "../../../src/worker/stop.ts";
import { verdict, type Evidence } from "../../../src/worker/verdict.ts";

const exits: Evidence["exit"][] = [
  null,
  { exitCode: 0, signal: null },
  { exitCode: 3, signal: null },
  { exitCode: 137, signal: null },
  { exitCode: null, signal: "SIGKILL" },
  { exitCode: null, signal: "SIGTERM" },
];
const ends: Evidence["sandbox"][] = [
  null,
  ...(["removed", "exited", "lost"] as const).flatMap((by): SandboxEnd[] => [
    { by, exitCode: 0, oom: false },
    { by, exitCode: 137, oom: true },
  ]),
];
const reasons: StopReason[] = [
  "cancelled",
  "timeout",
  "output_limit",
  "input_lost",
  "superseded",
  "cut_off",
  "shutting_down",
];
const logs: Action[][] = [
  [],
  ["exit_seen"],
  ...reasons.flatMap((reason): Action[][] => [
    [reason],
    [reason, "exit_seen"],
    ["exit_seen", reason],
    [reason, "cancelled", "exit_seen"],
  ]),
];

const every: Evidence[] = [true, false].flatMap((started) =>
  [true, false].flatMap((oom) =>
    exits.flatMap((exit) =>
      ends.flatMap((sandbox) => logs.map((actions) => ({ started, oom, exit, sandbox, actions }))),
    ),
  ),
);

/** What we asked for before the exit was seen. */
const asked = ({ actions }: Evidence): Action | undefined =>
  actions[0] === "exit_seen" ? undefined : actions[0];
const ranOut = (evidence: Evidence): boolean => evidence.oom || evidence.sandbox?.oom === true;

function each(condition: (evidence: Evidence) => boolean, check: (evidence: Evidence) => void): void {
  const cases = every.filter(condition);
  assert.ok(cases.length > 0);
  cases.forEach(check);
}

const is = (expected: string) => (evidence: Evidence) =>
  assert.equal(verdict(evidence).reason, expected, JSON.stringify(evidence));

test("a command that never started is never_started, unless a client or the clock ended it first", () => {
  each((e) => !e.started && asked(e) === "cancelled", is("cancelled"));
  each((e) => !e.started && asked(e) === "timeout", is("timeout"));
  each((e) => !e.started && !["cancelled", "timeout"].includes(asked(e) ?? ""), is("never_started"));
});

test("what we asked for before the exit was seen is the reason, however the command ended", () => {
  for (const reason of ["cancelled", "timeout", "output_limit"] as const) {
    each((e) => e.started && asked(e) === reason, is(reason));
  }
});

test("the worker's own reasons to stop are told as worker_lost", () => {
  for (const reason of ["cut_off", "shutting_down", "superseded", "input_lost"] as const) {
    each((e) => e.started && asked(e) === reason, is("worker_lost"));
  }
});

test("a stop that lost the race against the exit leaves the true result", () => {
  const late = (e: Evidence): boolean =>
    e.started && e.exit !== null && e.actions[0] === "exit_seen" && !ranOut(e);
  each((e) => late(e) && e.exit?.signal === null, is("exited"));
  each((e) => late(e) && e.exit?.signal !== null, is("signaled"));
});

test("without an exit and without us: sandbox_lost, unless memory took the whole sandbox", () => {
  const gone = (e: Evidence): boolean => e.started && e.exit === null && asked(e) === undefined;
  each((e) => gone(e) && ranOut(e) && e.sandbox?.by === "exited", is("oom"));
  each((e) => gone(e) && !(ranOut(e) && e.sandbox?.by === "exited"), is("sandbox_lost"));
});

test("memory that ran out with a failed command is oom, with exit code 0 it is a marked exit", () => {
  const own = (e: Evidence): boolean => e.started && e.exit !== null && asked(e) === undefined && ranOut(e);
  each((e) => own(e) && e.exit?.exitCode !== 0, is("oom"));
  each((e) => own(e) && e.exit?.exitCode === 0, is("exited"));
});

test("the mark that memory ran out, the exit code and the signal are kept whatever the reason", () => {
  for (const evidence of every) {
    const { oom, exitCode, signal } = verdict(evidence);
    assert.deepEqual(
      { oom, exitCode, signal },
      {
        oom: ranOut(evidence),
        exitCode: evidence.exit?.exitCode ?? null,
        signal: evidence.exit?.signal ?? null,
      },
    );
  }
});
