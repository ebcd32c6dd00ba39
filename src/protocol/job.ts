/** A job as a client asks for it, as a worker is offered it, and as it ends. */
import { z } from "zod";
import { limits } from "./limits.ts";

const utf8 = new TextEncoder();
const byteLength = (text: string): number => utf8.encode(text).length;

/** A relative path inside the sandbox's workspace: no empty, `.` or `..` segment, no NUL, no backslash. */
export const sandboxPath = z
  .string()
  .min(1)
  // looked at no further: what comes takes it apart
  .refine((path) => byteLength(path) <= limits.pathBytes, {
    error: `longer than ${limits.pathBytes} bytes`,
    abort: true,
  })
  .refine((path) => !/[\0\\]/.test(path), "must not hold NUL or a backslash")
  .refine(
    (path) =>
      path
        .split("/")
        .every((part) => part !== "" && part !== "." && part !== ".." && byteLength(part) <= 255),
    "must be relative, without empty, `.` or `..` parts, each part at most 255 bytes",
  );

const noNul = z.string().refine((text) => !text.includes("\0"), "must not hold NUL");
const envName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "must be a variable name");
const label = z
  .string()
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._/-]{0,62})$/, "use letters, digits and ._/-, at most 63");
const profileName = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, "must be a profile name");

const command = z
  .array(noNul)
  .min(1)
  .max(limits.arguments)
  .refine((argv) => argv[0] !== "", "the program's name is empty")
  .refine(
    (argv) => argv.reduce((sum, arg) => sum + byteLength(arg) + 1, 0) <= limits.argumentBytes,
    "arguments too long",
  );

const env = z
  .record(envName, noNul)
  .refine((vars) => Object.keys(vars).length <= limits.env, `more than ${limits.env} variables`)
  .refine(
    (vars) =>
      Object.entries(vars).reduce((sum, [k, v]) => sum + byteLength(k) + byteLength(v) + 2, 0) <=
      limits.envBytes,
    `larger than ${limits.envBytes} bytes`,
  );

export const mcpGrant = z.strictObject({
  host: z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, "must be a host name in lower case"),
  tools: z.array(z.string().min(1).max(128)).max(256).optional(),
  maxCalls: z.int().min(1).max(1_000_000).optional(),
  /** calls per second */
  rate: z.number().positive().max(10_000).optional(),
});
export type McpGrant = z.output<typeof mcpGrant>;

const inputFile = z
  .strictObject({ path: sandboxPath, text: z.string().optional(), base64: z.base64().optional() })
  .refine(
    (file) => (file.text === undefined) !== (file.base64 === undefined),
    "needs exactly one of `text` and `base64`",
  );

/** Body of `POST /v1/jobs`. Unknown keys are errors. */
export const jobRequestSchema = z
  .strictObject({
    profile: profileName,
    command: command.optional(),
    code: noNul
      .refine((code) => byteLength(code) <= limits.codeBytes, `larger than ${limits.codeBytes} bytes`)
      .optional(),
    language: z.string().max(32).optional(),
    files: z.array(inputFile).max(limits.files).default([]),
    env: env.default({}),
    /** the program's whole standard input, or `{"stream": true}` for `POST /v1/jobs/{id}/stdin`; EOF at once when absent */
    stdin: z.union([z.string(), z.strictObject({ stream: z.literal(true) })]).optional(),
    mcp: z.array(mcpGrant).max(limits.mcpHosts).default([]),
    timeout: z.string().max(32).optional(),
    retry: z.strictObject({ maxAttempts: z.int().min(1).max(20) }).default({ maxAttempts: 1 }),
    priority: z.int().min(-100).max(100).default(0),
    /** labels a worker must carry to be given this job */
    labels: z
      .record(label, z.string().max(63))
      .refine((labels) => Object.keys(labels).length <= limits.labels, `more than ${limits.labels} labels`)
      .default({}),
    artifacts: z.array(sandboxPath).max(limits.artifacts).default([]),
  })
  .refine((job) => (job.command === undefined) !== (job.code === undefined), {
    message: "needs exactly one of `command` and `code`",
    path: ["command"],
  })
  .refine((job) => job.language === undefined || job.code !== undefined, {
    message: "goes with `code` only",
    path: ["language"],
  });
export type JobRequest = z.input<typeof jobRequestSchema>;
export type ParsedJobRequest = z.output<typeof jobRequestSchema>;

/** A job as a worker gets it: everything resolved against the profile, contents of files and stdin left out. */
export const jobSpecSchema = z.object({
  profile: profileName,
  run: z.union([
    z.object({ command: z.array(z.string()).min(1) }),
    z.object({ language: z.string(), code: z.string() }),
  ]),
  env: z.record(z.string(), z.string()),
  /** Names and sizes in bytes, in the order the `inputs` stream carries the contents; stdin text comes after them. */
  files: z.array(z.object({ path: sandboxPath, size: z.int().min(0) })),
  stdin: z.discriminatedUnion("mode", [
    z.object({ mode: z.literal("none") }),
    z.object({ mode: z.literal("text"), size: z.int().min(0) }),
    z.object({ mode: z.literal("stream") }),
  ]),
  mcp: z.array(mcpGrant),
  /** wall clock of the command in `ms` */
  timeoutMs: z.int().min(1),
  /** bytes of stdout and stderr together */
  outputBytes: z.int().min(0),
  artifacts: z.array(sandboxPath),
  /** bytes of all artifacts together */
  artifactBytes: z.int().min(0),
  labels: z.record(z.string(), z.string()),
  priority: z.int(),
  maxAttempts: z.int().min(1),
});
export type JobSpec = z.output<typeof jobSpecSchema>;

/** States a client sees; the last five are terminal. */
export const jobStates = [
  "queued",
  "leased",
  "running",
  "succeeded",
  "failed",
  "cancelled",
  "timed_out",
  "lost",
] as const;
export type JobState = (typeof jobStates)[number];
export const terminalStates = ["succeeded", "failed", "cancelled", "timed_out", "lost"] as const;
export type TerminalState = (typeof terminalStates)[number];

export const endReasons = [
  "exited",
  "signaled",
  "oom",
  "timeout",
  "output_limit",
  "cancelled",
  "never_started",
  "sandbox_lost",
  "worker_lost",
] as const;
export type EndReason = (typeof endReasons)[number];

export const wireErrorSchema = z.object({
  code: z.string().max(64),
  message: z.string().max(4_096),
  details: z.record(z.string(), z.unknown()).optional(),
});

export const artifactSchema = z.object({
  path: sandboxPath,
  /** bytes; absent when there is an error */
  size: z.int().min(0).optional(),
  error: wireErrorSchema.optional(),
});
export type Artifact = z.output<typeof artifactSchema>;

/** How one attempt ended, as its worker reports it. */
export const attemptOutcomeSchema = z.object({
  reason: z.enum(endReasons),
  exitCode: z.int().nullable(),
  signal: z.string().max(16).nullable(),
  /** memory ran out inside, also when the command survived it */
  oom: z.boolean(),
  timings: z.object({
    /** from accept to the command's start, `ms` */
    startMs: z.number().min(0),
    /** from the command's start to its end, `ms` */
    runMs: z.number().min(0),
    /** the sandbox came from the pool */
    warm: z.boolean(),
  }),
  usage: z.object({ cpuMs: z.number().min(0), maxRssBytes: z.number().min(0) }),
  output: z.object({ stdoutBytes: z.int().min(0), stderrBytes: z.int().min(0), truncated: z.boolean() }),
  /** position behind the last byte of the attempt's log */
  logEnd: z.int().min(0),
  /** part of the log that never reached the hub */
  missing: z.object({ from: z.int().min(0), to: z.int().min(0) }).nullable(),
  artifacts: z.array(artifactSchema).max(limits.artifacts),
  /** MCP calls made */
  calls: z.int().min(0),
  /** why the command never started, or what was lost */
  error: wireErrorSchema.nullable(),
});
export type AttemptOutcome = z.output<typeof attemptOutcomeSchema>;

/** The one recorded result of a job. */
export const jobResultSchema = z.object({
  state: z.enum(terminalStates),
  exitCode: z.int().nullable(),
  signal: z.string().nullable(),
  reason: z.enum(endReasons),
  attempt: z.int().min(0),
  startedAt: z.iso.datetime().nullable(),
  finishedAt: z.iso.datetime(),
  timings: z.object({ queuedMs: z.number(), startMs: z.number(), runMs: z.number(), warm: z.boolean() }),
  usage: z.object({ cpuMs: z.number(), maxRssBytes: z.number() }),
  output: z.object({
    stdoutBytes: z.int(),
    stderrBytes: z.int(),
    truncated: z.boolean(),
    missing: z.object({ from: z.int(), to: z.int() }).nullable(),
  }),
  /** memory ran out inside, whatever the reason says */
  oom: z.boolean(),
  artifacts: z.array(artifactSchema),
  calls: z.int(),
  error: wireErrorSchema.nullable(),
});
export type JobResult = z.output<typeof jobResultSchema>;

/** The terminal state that follows from how the last attempt ended. */
export function terminalState(reason: EndReason, exitCode: number | null): TerminalState {
  switch (reason) {
    case "exited":
      return exitCode === 0 ? "succeeded" : "failed";
    case "cancelled":
      return "cancelled";
    case "timeout":
      return "timed_out";
    case "sandbox_lost":
    case "worker_lost":
      return "lost";
    case "signaled":
    case "oom":
    case "output_limit":
    case "never_started":
      return "failed";
  }
}
