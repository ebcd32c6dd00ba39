import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError, type ErrorCode } from "../../../src/errors.ts";
import {
  endReasons,
  issuesToError,
  jobRequestSchema,
  jobSpecSchema,
  leasesHash,
  limits,
  resolveJob,
  terminalState,
  type JobRequest,
  type ProfileOffer,
} from "../../../src/protocol/index.ts";

const profile: ProfileOffer = {
  name: "python",
  digest: "sha256:0",
  shape: "interpreter",
  image: "sallyport/python",
  runtime: "runc",
  lifecycle: "job",
  languages: ["python"],
  resources: { cpus: 1, memory: 2 ** 29, pids: 128, workspace: 2 ** 28, tmp: 2 ** 26, gpus: 0 },
  limits: { wallClock: 60_000, output: 2 ** 24, artifacts: 2 ** 26 },
  mcp: [{ host: "docs", tools: ["search"] }],
  warm: 0,
  unusable: null,
};

function resolve(request: JobRequest, offer: ProfileOffer = profile) {
  const parsed = jobRequestSchema.safeParse(request);
  if (!parsed.success) throw issuesToError(parsed.error, "request_invalid", "job");
  return resolveJob(parsed.data, offer);
}

test("a job takes its limits and its only language from the profile", () => {
  const { spec, inputs } = resolve({ profile: "python", code: "print(1)" });
  assert.deepEqual(spec.run, { language: "python", code: "print(1)" });
  assert.equal(spec.timeoutMs, 60_000);
  assert.equal(spec.outputBytes, 2 ** 24);
  assert.deepEqual(spec.stdin, { mode: "none" });
  assert.equal(inputs, null);
  assert.deepEqual(jobSpecSchema.parse(JSON.parse(JSON.stringify(spec))), spec);
});

test("files and stdin text travel as one run of bytes in the order of their sizes", () => {
  const { spec, inputs } = resolve({
    profile: "python",
    command: ["cat"],
    files: [
      { path: "a/b.txt", text: "é" },
      { path: "..foo", base64: "AAH/" },
    ],
    stdin: "in",
  });
  assert.deepEqual(spec.files, [
    { path: "a/b.txt", size: 2 },
    { path: "..foo", size: 3 },
  ]);
  assert.deepEqual(spec.stdin, { mode: "text", size: 2 });
  assert.deepEqual(inputs && [...inputs], [0xc3, 0xa9, 0, 1, 255, 0x69, 0x6e]);
});

const refusals: [string, object, ErrorCode, string][] = [
  ["no command and no code", {}, "request_invalid", "command"],
  ["command and code", { command: ["x"], code: "y" }, "request_invalid", "command"],
  ["an unknown key", { code: "x", Privileged: true }, "request_invalid", "Privileged"],
  ["an empty command", { command: [] }, "request_invalid", "command"],
  ["NUL in an argument", { command: ["a\0b"] }, "request_invalid", "command[0]"],
  ["an unknown language", { code: "x", language: "cobol" }, "language_unknown", "language"],
  ["a timeout without a unit", { code: "x", timeout: "10" }, "request_invalid", "timeout"],
  ["a timeout above the profile's", { code: "x", timeout: "61s" }, "limit_exceeds_profile", "timeout"],
  [
    "a path that climbs out",
    { code: "x", files: [{ path: "../x", text: "" }] },
    "request_invalid",
    "files[0].path",
  ],
  [
    "an absolute path",
    { code: "x", files: [{ path: "/etc/x", text: "" }] },
    "request_invalid",
    "files[0].path",
  ],
  [
    "a path with a backslash",
    { code: "x", files: [{ path: "a\\b", text: "" }] },
    "request_invalid",
    "files[0].path",
  ],
  [
    "the same path twice",
    {
      code: "x",
      files: [
        { path: "a", text: "" },
        { path: "a", text: "" },
      ],
    },
    "request_invalid",
    "files[1].path",
  ],
  ["a file without content", { code: "x", files: [{ path: "a" }] }, "request_invalid", "files[0]"],
  ["bad base64", { code: "x", files: [{ path: "a", base64: "%%" }] }, "request_invalid", "files[0].base64"],
  ["a variable name with =", { code: "x", env: { "A=B": "" } }, "request_invalid", "env.A=B"],
  [
    "a host the profile does not list",
    { code: "x", mcp: [{ host: "evil" }] },
    "host_not_allowed",
    "mcp[0].host",
  ],
  [
    "a tool the profile does not list",
    { code: "x", mcp: [{ host: "docs", tools: ["drop"] }] },
    "host_not_allowed",
    "mcp[0].tools",
  ],
  [
    "an artifact outside the workspace",
    { code: "x", artifacts: ["../../etc/passwd"] },
    "request_invalid",
    "artifacts[0]",
  ],
];

for (const [name, request, code, field] of refusals) {
  test(`a job with ${name} is refused, naming ${field}`, () => {
    assert.throws(
      () => resolve({ profile: "python", ...request }),
      (error) => isError(error, code) && error.details["field"] === field,
    );
  });
}

test("what is wrong with a name, or with the whole, is told in one go", () => {
  const named = jobRequestSchema.safeParse({ profile: "python", code: "", env: { "A=B": "" } });
  assert.ok(!named.success);
  const told = issuesToError(named.error, "request_invalid", "body");
  assert.equal(told.message, "body: env.A=B: must be a variable name");
  const whole = jobRequestSchema.safeParse(null);
  assert.ok(!whole.success);
  assert.match(issuesToError(whole.error, "request_invalid", "body").message, /^body: Invalid input: /);
});

test("inputs and time are taken up to their limit and refused above it", () => {
  const half = limits.inputBytes / 2;
  const files = [{ path: "a", text: "x".repeat(half) }];
  const job = { profile: "python", code: "x", files };
  assert.equal(resolve({ ...job, stdin: "y".repeat(half) }).inputs?.length, limits.inputBytes);
  assert.throws(
    () => resolve({ ...job, stdin: "y".repeat(half + 1) }),
    (error) => isError(error, "body_too_large") && error.details["field"] === "files",
  );
  const { wallClock } = profile.limits;
  assert.equal(
    resolve({ profile: "python", code: "x", timeout: `${wallClock}ms` }).spec.timeoutMs,
    wallClock,
  );
  assert.throws(
    () => resolve({ profile: "python", code: "x", timeout: `${wallClock + 1}ms` }),
    (error) => isError(error, "limit_exceeds_profile"),
  );
});

test("a job is refused that no message can offer, though each of its fields is small enough", () => {
  const spelled = (char: string): string => char.repeat(limits.codeBytes);
  assert.throws(
    () => resolve({ profile: "python", code: spelled("\u0001") }),
    (error) => isError(error, "body_too_large") && error.details["field"] === "job",
  );
  assert.ok(resolve({ profile: "python", code: spelled("\n") }));
});

test("any JSON is a job or one coded error", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (json) => {
      try {
        resolve(json as JobRequest);
      } catch (error) {
        assert.ok(isError(error), String(error));
      }
    }),
  );
});

test("only a command that exited with 0 has succeeded", () => {
  for (const reason of endReasons) {
    assert.equal(terminalState(reason, 0) === "succeeded", reason === "exited");
    assert.notEqual(terminalState(reason, 1), "succeeded");
  }
});

test("the hash of held leases does not depend on their order and changes with attempt and epoch", () => {
  const a = { lease: "a", attempt: 1, epoch: 1 };
  const b = { lease: "b", attempt: 1, epoch: 2 };
  assert.equal(leasesHash([a, b]), leasesHash([b, a]));
  assert.notEqual(leasesHash([a]), leasesHash([{ ...a, epoch: 2 }]));
  assert.notEqual(leasesHash([a]), leasesHash([{ ...a, attempt: 2 }]));
});

test("a path that is too long is not taken apart, and a name of any length is told in short", () => {
  const problemsOf = (job: unknown): { field: string; reason: string }[] => {
    const parsed = jobRequestSchema.safeParse(job);
    assert.ok(!parsed.success);
    const { message, details } = issuesToError(parsed.error, "request_invalid", "body");
    assert.ok(message.length < 300, `${message.length} characters`);
    return details["problems"] as { field: string; reason: string }[];
  };
  const base = { profile: "shell", command: ["true"] };
  assert.deepEqual(problemsOf({ ...base, artifacts: ["a/".repeat(10_000)] }), [
    { field: "artifacts[0]", reason: "longer than 1024 bytes" },
  ]);
  const name = "k".repeat(10_000);
  for (const job of [
    { ...base, [name]: 1 },
    { ...base, env: { [name]: "" } },
    { ...base, labels: { [name]: "" } },
  ]) {
    const [problem] = problemsOf(job);
    assert.match(problem?.field ?? "", /k{128}…$/);
  }
});
