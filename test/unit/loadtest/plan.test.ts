import assert from "node:assert/strict";
import { test } from "node:test";
import {
  defaultWork,
  checkProfile,
  planLoad,
  planWork,
  type LoadtestFlags,
} from "../../../src/cli/loadtest/plan.ts";
import type { ProfileView } from "../../../src/client/index.ts";
import { cli } from "../cli/harness.ts";

test("without bounds there are 100 jobs by 10 callers; a rate and a duration make their number", () => {
  assert.deepEqual(planLoad({}, 4_096), {
    concurrency: 10,
    total: 100,
    durationMs: Infinity,
    ratePerS: null,
  });
  assert.deepEqual(planLoad({ rate: "2.5", duration: "1s" }, 4_096), {
    concurrency: 1_000,
    total: 3,
    durationMs: 1_000,
    ratePerS: 2.5,
  });
  assert.equal(planLoad({ duration: "5s" }, 4_096).total, Infinity);
  assert.equal(planLoad({ rate: "5" }, 512).concurrency, 412);
});

const wrong: [string, string[], RegExp][] = [
  ["no callers", ["--concurrency", "0"], /--concurrency/],
  ["callers that are no number", ["--concurrency", "many"], /--concurrency/],
  ["no jobs", ["--total", "0"], /--total/],
  ["a rate of nothing", ["--rate", "0"], /--rate/],
  ["a negative rate", ["--rate", "-5"], /--rate/],
  ["a rate that is no number", ["--rate", "fast"], /--rate/],
  ["a duration without a unit", ["--duration", "10"], /--duration/],
  ["more arrivals than can be kept", ["--rate", "1000", "--duration", "1h"], /--duration/],
  ["a timeout without a unit", ["--timeout", "10"], /--timeout/],
  ["an MCP server without a name", ["--mcp", "=search_docs"], /--mcp/],
  ["code and a command", ["-c", "1", "--", "true"], /more than one thing/],
  ["an empty command", ["--"], /no command behind --/],
  ["a language for a command", ["--language", "python", "--", "true"], /--language/],
  ["a language without code", ["--language", "cobol"], /--language/],
  ["a page in no folder", ["--html", "missing/report.html"], /--html/],
  ["a page that is a folder", ["--html", "."], /--html/],
  ["an argument without --", ["true"], /must stand behind --/],
  ["an unknown option", ["--profil", "x"], /--profil/],
];
for (const [what, flags, message] of wrong) {
  test(`bad command line: ${what} is named, exit code 2, nothing is sent`, async () => {
    using command = cli();
    const code = await command.run("http://127.0.0.1:9", "loadtest", "--profile", "fanout", ...flags);
    assert.equal(code, 2);
    assert.match(command.stderr(), message);
    assert.equal(command.stdout().length, 0);
  });
}

test("more connections than open files are refused, naming flag and limit", () => {
  assert.throws(() => planLoad({ concurrency: "200" }, 256), /--concurrency: 200 connections .* 256/);
});

test("the profile must be named; help shows examples and exit codes", async () => {
  using command = cli();
  assert.equal(await command.raw("loadtest"), 2);
  assert.match(command.stderr(), /--profile/);
  using asked = cli();
  assert.equal(await asked.raw("loadtest", "--help"), 0);
  const text = asked.stdout().toString();
  for (const part of ["Examples:", "Exit code:", "--rate", "open loop"]) assert.ok(text.includes(part), part);
});

function profile(overrides: Partial<ProfileView> = {}): ProfileView {
  return { name: "fanout", languages: ["python"], workers: 1, unusable: null, ...overrides } as ProfileView;
}

test("a profile nobody offers, or nobody can serve, is an error that says so before anything waits for ever", () => {
  assert.throws(() => checkProfile([profile()], "fan"), { code: "profile_unknown" });
  assert.throws(() => checkProfile([profile({ workers: 0 })], "fanout"), { code: "profile_unusable" });
  const unusable = { code: "runtime_unavailable", message: "no runsc" };
  assert.throws(() => checkProfile([profile({ unusable })], "fanout"), /no runsc/);
});

test("what to run suits the profile unless it is named", () => {
  const flags: LoadtestFlags = { profile: "x" };
  assert.equal(planWork(flags, undefined), undefined);
  assert.deepEqual(planWork(flags, ["sh", "-c", "--"]), { command: ["sh", "-c", "--"] });
  assert.deepEqual(planWork({ language: "node" }, undefined), { language: "node", code: "console.log(6*7)" });
  assert.deepEqual(defaultWork(profile({ languages: ["shell"] }), undefined), {
    language: "shell",
    code: "echo $((6*7))",
  });
  assert.deepEqual(defaultWork(profile(), "x=1"), { language: "python", code: "x=1" });
  assert.deepEqual(defaultWork(profile({ languages: [] }), undefined), { command: ["echo", "42"] });
});
