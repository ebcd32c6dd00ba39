import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  languageOf,
  parseGrant,
  parseInput,
  parseOutput,
  planRun,
  type RunFlags,
} from "../../../src/cli/run/plan.ts";

const isUsageError = (error: unknown): boolean => {
  assert.ok(error instanceof Error && "details" in error);
  assert.equal((error.details as Record<string, unknown>)["source"], "command line");
  return true;
};

test("--input divides at the last colon and is called like its file without one", () => {
  assert.deepEqual(parseInput("data/in.csv"), { local: "data/in.csv", path: "in.csv" });
  assert.deepEqual(parseInput("in.csv:sub/x.csv"), { local: "in.csv", path: "sub/x.csv" });
  assert.deepEqual(parseInput("a:b:c"), { local: "a:b", path: "c" });
  for (const text of ["", ":x", "x:"]) assert.throws(() => parseInput(text), isUsageError);
});

test("--output divides at the first colon and lands under its last name without one", () => {
  assert.deepEqual(parseOutput("sub/out.csv"), { path: "sub/out.csv", local: "out.csv" });
  assert.deepEqual(parseOutput("out.csv:/tmp/a:b"), { path: "out.csv", local: "/tmp/a:b" });
  for (const text of ["", ":x", "x:"]) assert.throws(() => parseOutput(text), isUsageError);
});

test("--mcp names a host, and tools behind =", () => {
  assert.deepEqual(parseGrant("docs"), { host: "docs" });
  assert.deepEqual(parseGrant("docs=search,fetch"), { host: "docs", tools: ["search", "fetch"] });
  for (const text of ["=a", "docs=", "docs=a,,b"]) assert.throws(() => parseGrant(text), isUsageError);
});

test("the language is named, or told by the file, or by the profile, else python", () => {
  assert.equal(languageOf({}), "python");
  assert.equal(languageOf({ file: "a.mjs" }), "node");
  assert.equal(languageOf({ file: "a.js" }), "node");
  assert.equal(languageOf({ file: "a.sh" }), "shell");
  assert.equal(languageOf({ file: "a.py", profile: "node" }), "python");
  assert.equal(languageOf({ profile: "node" }), "node");
  assert.equal(languageOf({ profile: "heavy" }), "python");
  assert.equal(languageOf({ language: "node", file: "a.py" }), "node");
});

test("the profile is called like the language, and shell for a command", async () => {
  const code = await planRun({ code: "1" }, undefined, "/");
  assert.deepEqual(
    [code.request.profile, code.request.language, code.request.code],
    ["python", "python", "1"],
  );
  const command = await planRun({}, ["ls", "-c", "--json"], "/");
  assert.deepEqual([command.request.profile, command.request.command], ["shell", ["ls", "-c", "--json"]]);
  assert.equal("language" in command.request, false);
  assert.equal((await planRun({ profile: "heavy", code: "" }, undefined, "/")).request.profile, "heavy");
});

test("exactly one thing to run is wanted", async () => {
  const wrong: [RunFlags, string[]?][] = [
    [{}],
    [{ code: "1", file: "x" }],
    [{ code: "1" }, ["ls"]],
    [{}, []],
    [{ language: "node" }, ["ls"]],
    [{ code: "1", detach: true, output: ["x"] }],
    [{ code: "1", timeout: "soon" }],
    [{ code: "1", retry: "-1" }],
    [{ code: "1", env: ["A"] }],
    [{ code: "1", input: ["/no/such/file"] }],
    [{ code: "1", input: ["/tmp"] }],
    [{ file: "/no/such/file" }],
  ];
  for (const [flags, tail] of wrong) await assert.rejects(planRun(flags, tail, "/"), isUsageError);
});

test("files, variables, labels, limits and artifacts stand in the request", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-plan-"));
  try {
    writeFileSync(join(dir, "job.mjs"), "console.log('ü')");
    writeFileSync(join(dir, "in.bin"), Buffer.from([0, 255]));
    const flags = {
      file: "job.mjs",
      input: ["in.bin:data/in.bin"],
      output: ["out.csv"],
      env: ["A=1"],
      label: ["gpu=yes"],
      timeout: "5s",
      priority: "7",
      retry: "2",
      mcp: ["docs"],
    };
    const { request, outputs } = await planRun(flags, undefined, dir);
    assert.deepEqual(request, {
      profile: "node",
      language: "node",
      code: "console.log('ü')",
      files: [{ path: "data/in.bin", base64: "AP8=" }],
      env: { A: "1" },
      mcp: [{ host: "docs" }],
      labels: { gpu: "yes" },
      artifacts: ["out.csv"],
      timeout: "5s",
      priority: 7,
      retry: { maxAttempts: 3 },
    });
    assert.deepEqual(outputs, [{ path: "out.csv", local: "out.csv" }]);
    writeFileSync(join(dir, "latin.py"), Buffer.from([0x23, 0xe9]));
    await assert.rejects(planRun({ file: "latin.py" }, undefined, dir), isUsageError);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
