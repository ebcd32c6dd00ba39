import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError, SallyportError } from "../../../../src/errors.ts";
import { parseProfile, type ProfileProblem } from "../../../../src/sandbox/profile/index.ts";
import { sampleProfile, withValue } from "./sample.ts";

function refusal(json: unknown): SallyportError {
  try {
    parseProfile(json, "sample.json");
  } catch (error) {
    assert.ok(isError(error, "profile_invalid"), `not profile_invalid: ${String(error)}`);
    return error;
  }
  return assert.fail("the profile was accepted");
}

const problemsOf = (error: SallyportError): ProfileProblem[] => error.details["problems"] as ProfileProblem[];

test("a profile comes out in ms and bytes, with every default filled in", () => {
  const { digest, ...profile } = parseProfile(sampleProfile(), "sample.json");
  assert.match(digest, /^sha256:[0-9a-f]{64}$/);
  assert.deepEqual(profile, {
    name: "sample",
    shape: "interpreter",
    image: "sallyport/python",
    runtime: "runc",
    lifecycle: "job",
    resources: { cpus: 1, memory: 2 ** 28, pids: 64, workspace: 2 ** 26, tmp: 2 ** 24, gpus: 0 },
    limits: { wallClock: 60_000, output: 2 ** 24, artifacts: 2 ** 26, idle: null },
    languages: {},
    network: { mcp: [] },
    pool: { warm: 0, maxAge: 600_000 },
    env: {},
  });
});

test("a profile is frozen in every part", () => {
  const profile = parseProfile(withValue("languages", { python: { preload: ["json"] } }), "sample.json");
  const parts: unknown[] = [profile];
  for (const part of parts) {
    if (typeof part !== "object" || part === null) continue;
    assert.ok(Object.isFrozen(part));
    parts.push(...Object.values(part));
  }
  assert.ok(parts.length > 20);
});

const refused: [path: string, value: unknown, at: string, reason: RegExp][] = [
  ["colour", "red", "colour", /unknown key/],
  ["resources.swap", "1GiB", "resources.swap", /unknown key/],
  ["languages", { perl: {} }, "languages.perl", /./],
  ["name", "Upper", "name", /lower-case/],
  ["name", undefined, "name", /./],
  ["image", "", "image", /image reference/],
  ["runtime", "rkt", "runtime", /./],
  ["resources.cpus", 0, "resources.cpus", /./],
  ["resources.cpus", -1, "resources.cpus", /./],
  ["resources.cpus", "1", "resources.cpus", /./],
  ["resources.pids", 1.5, "resources.pids", /./],
  ["resources.gpus", -1, "resources.gpus", /./],
  ["resources.memory", "0MiB", "resources.memory", /0MiB/],
  ["resources.memory", "-5MiB", "resources.memory", /-5MiB/],
  ["resources.memory", 268_435_456, "resources.memory", /string/],
  ["resources.memory", "256", "resources.memory", /unit/],
  ["resources.memory", "256KiB", "resources.memory", /less than 16MiB/],
  ["resources.memory", "999999GiB", "resources.memory", /more than/],
  ["resources.workspace", "257MiB", "resources.workspace", /larger than resources.memory/],
  ["resources.tmp", "1GiB", "resources.tmp", /larger than resources.memory/],
  ["limits.wallClock", "0s", "limits.wallClock", /0s/],
  ["limits.wallClock", "1ms", "limits.wallClock", /less than 100ms/],
  ["limits.wallClock", "9999h", "limits.wallClock", /more than/],
  ["limits.wallClock", "60sec", "limits.wallClock", /unit/],
  ["limits.wallClock", null, "limits.wallClock", /./],
  ["limits.output", "1B", "limits.output", /less than 1KiB/],
  ["limits.idle", "0s", "limits.idle", /0s/],
  ["pool.maxAge", "1ms", "pool.maxAge", /less than 1s/],
  ["pool.warm", -1, "pool.warm", /./],
  ["languages", { shell: { preload: ["json"] } }, "languages.shell.preload", /no modules/],
  ["languages", { python: { preload: ["os; import x"] } }, "languages.python.preload[0]", /module name/],
  ["network", { mcp: [{ host: "Docs" }] }, "network.mcp[0].host", /lower case/],
  ["network", { mcp: [{ host: "docs" }, { host: "docs" }] }, "network.mcp[1].host", /listed twice/],
  ["env", { "A=B": "1" }, "env.A=B", /./],
  ["env", { A: "a\0b" }, "env.A", /NUL/],
];

for (const [path, value, at, reason] of refused) {
  test(`${path} = ${JSON.stringify(value)} is refused at ${at}`, () => {
    const error = refusal(withValue(path, value));
    const problem = problemsOf(error).find((found) => found.path === at);
    assert.ok(problem, `no problem at ${at}: ${error.message}`);
    assert.match(problem.reason, reason);
    assert.equal(problem.source, "sample.json");
  });
}

test("every problem is told, the first one in the message", () => {
  const error = refusal({
    ...sampleProfile(),
    resources: { cpus: 1, memory: "1KiB", pids: 64, workspace: "lots", tmp: "0B" },
  });
  assert.deepEqual(
    problemsOf(error).map((problem) => problem.path),
    ["resources.memory", "resources.workspace", "resources.tmp"],
  );
  assert.match(error.message, /^sample\.json: resources\.memory: 1KiB is less than 16MiB \(and 2 more\)$/);
});

test("the digest changes with any setting but not with the order of keys, $schema, or how a quantity is written", () => {
  const digest = parseProfile(sampleProfile(), "a.json").digest;
  const digestWith = (env: Record<string, string>): string =>
    parseProfile(withValue("env", env), "a.json").digest;
  assert.equal(digestWith({ A: "1", B: "2" }), digestWith({ B: "2", A: "1" }));
  const reordered = Object.fromEntries(Object.entries(sampleProfile()).toReversed());
  for (const same of [reordered, withValue("$schema", "x"), withValue("resources.memory", "0.25GiB")]) {
    assert.equal(parseProfile(same, "b.json").digest, digest);
  }
  for (const [path, value] of [
    ["name", "other"],
    ["resources.memory", "257MiB"],
    ["limits.idle", "1m"],
    ["env", { A: "1" }],
    ["network", { mcp: [{ host: "*" }] }],
    ["pool.warm", 1],
  ] as const) {
    assert.notEqual(parseProfile(withValue(path, value), "a.json").digest, digest, path);
  }
});

/** Profiles that are nearly right, so that more than the schema's first line is reached. */
const nearlyProfile = fc
  .tuple(
    fc.constantFrom(
      "resources.memory",
      "limits.wallClock",
      "env",
      "languages",
      "network",
      "pool",
      "resources.cpus",
      "name",
    ),
    fc.oneof(
      fc.jsonValue(),
      fc.constantFrom("1MiB", "64MiB", "1GiB", "2h", 0.5),
      fc.record({ mcp: fc.array(fc.record({ host: fc.constantFrom("*", "a", "b") })) }),
      fc.dictionary(
        fc.constantFrom("python", "node", "shell"),
        fc.record({ preload: fc.array(fc.constant("json")) }),
      ),
      fc.dictionary(fc.stringMatching(/^[A-Za-z_]{1,12}$/), fc.string()),
    ),
  )
  .map(([path, value]) => withValue(path, value));

test("any JSON is a profile or profile_invalid, and the same JSON again has the same digest", () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), nearlyProfile), (json) => {
      try {
        const { digest } = parseProfile(json, "any.json");
        assert.equal(parseProfile(structuredClone(json), "again.json").digest, digest);
      } catch (error) {
        assert.ok(isError(error, "profile_invalid"), String(error));
        assert.ok(problemsOf(error).length > 0);
      }
    }),
    { numRuns: 2_000 },
  );
});
