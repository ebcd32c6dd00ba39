/** JSON → `Profile`: reads every quantity, refuses what cannot work, freezes the rest and gives it a digest. */
import { createHash } from "node:crypto";
import type { z } from "zod";
import { SallyportError } from "../../errors.ts";
import { bounds, readQuantity, type QuantityPath } from "./quantities.ts";
import { profileFileSchema, type Profile, type ProfileFile } from "./schema.ts";

/** One thing that is wrong with a profile. */
export interface ProfileProblem {
  /** The file, or what the caller said the profile came from */
  source: string;
  /** Key path such as `resources.memory` or `network.mcp[0].host`; empty for the whole file */
  path: string;
  reason: string;
}

/**
 * Throws `profile_invalid`; the message names `source`, the first key path and the reason, `details.problems` holds every
 * `ProfileProblem`.
 */
export function parseProfile(json: unknown, source: string): Profile {
  const parsed = profileFileSchema.safeParse(json);
  if (!parsed.success) throw invalid(parsed.error.issues.flatMap((issue) => toProblems(issue, source)));
  const file = parsed.data;
  const quantities = readQuantities(file);
  const problems = [...quantities.problems, ...contradictions(file, quantities.values)];
  if (problems.length > 0) throw invalid(problems.map((problem) => ({ source, ...problem })));
  const settings = settingsOf(file, quantities.values);
  return deepFreeze({ ...settings, digest: digestOf(settings) });
}

/** The error for `problems`, of which there is at least one. */
export function invalid(problems: ProfileProblem[]): SallyportError {
  const [first, ...others] = problems;
  if (first === undefined) throw new SallyportError("internal", "a profile was refused without a reason");
  const where = first.path === "" ? first.source : `${first.source}: ${first.path}`;
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  return new SallyportError("profile_invalid", `${where}: ${first.reason}${more}`, {
    details: { file: first.source, field: first.path, problems },
  });
}

function toProblems(issue: z.core.$ZodIssue, source: string): ProfileProblem[] {
  if (issue.code !== "unrecognized_keys")
    return [{ source, path: pathOf(issue.path), reason: issue.message }];
  return issue.keys.map((key) => ({ source, path: pathOf([...issue.path, key]), reason: "unknown key" }));
}

/** `["network", "mcp", 0]` → `network.mcp[0]` */
export function pathOf(parts: readonly PropertyKey[]): string {
  return parts.reduce<string>((path, part) => {
    if (typeof part === "number") return `${path}[${part}]`;
    return path === "" ? String(part) : `${path}.${String(part)}`;
  }, "");
}

type Problem = Omit<ProfileProblem, "source">;
type Quantities = Record<QuantityPath, number>;

function readQuantities(file: ProfileFile): { values: Partial<Quantities>; problems: Problem[] } {
  const written: Record<QuantityPath, string | null> = {
    "resources.memory": file.resources.memory,
    "resources.workspace": file.resources.workspace,
    "resources.tmp": file.resources.tmp,
    "limits.wallClock": file.limits.wallClock,
    "limits.output": file.limits.output,
    "limits.artifacts": file.limits.artifacts,
    "limits.idle": file.limits.idle,
    "pool.maxAge": file.pool.maxAge,
  };
  const values: Partial<Quantities> = {};
  const problems: Problem[] = [];
  for (const path of Object.keys(bounds) as QuantityPath[]) {
    const text = written[path];
    if (text === null) continue;
    const read = readQuantity(path, text);
    if (typeof read === "number") values[path] = read;
    else problems.push({ path, reason: read.reason });
  }
  return { values, problems };
}

/** What each key allows by itself but not together with the others. */
function contradictions(file: ProfileFile, values: Partial<Quantities>): Problem[] {
  const problems: Problem[] = [];
  const memory = values["resources.memory"] ?? Number.POSITIVE_INFINITY;
  for (const path of ["resources.workspace", "resources.tmp"] as const) {
    if ((values[path] ?? 0) > memory) {
      problems.push({ path, reason: "larger than resources.memory, which files in it are counted against" });
    }
  }
  if ((file.languages.shell?.preload.length ?? 0) > 0) {
    problems.push({ path: "languages.shell.preload", reason: "a shell has no modules to preload" });
  }
  const hosts = file.network.mcp.map((entry) => entry.host);
  for (const [at, host] of hosts.entries()) {
    if (hosts.indexOf(host) < at)
      problems.push({ path: `network.mcp[${at}].host`, reason: `"${host}" is listed twice` });
  }
  for (const [name, value] of Object.entries(file.env)) {
    if (value.includes("\0")) problems.push({ path: `env.${name}`, reason: "must not hold NUL" });
  }
  return problems;
}

function settingsOf(file: ProfileFile, values: Partial<Quantities>): Omit<Profile, "digest"> {
  const { $schema: _, ...rest } = file;
  // Without problems every quantity was read; only `limits.idle` may have been left out.
  const all = values as Quantities;
  return {
    ...rest,
    resources: {
      ...file.resources,
      memory: all["resources.memory"],
      workspace: all["resources.workspace"],
      tmp: all["resources.tmp"],
    },
    limits: {
      wallClock: all["limits.wallClock"],
      output: all["limits.output"],
      artifacts: all["limits.artifacts"],
      idle: values["limits.idle"] ?? null,
    },
    languages: withoutAbsent(file.languages),
    network: { mcp: file.network.mcp.map((entry) => withoutAbsent(entry)) },
    pool: { ...file.pool, maxAge: all["pool.maxAge"] },
  };
}

type WithoutAbsent<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function withoutAbsent<T extends object>(value: T): WithoutAbsent<T> {
  return Object.fromEntries(
    Object.entries(value).filter(([, part]) => part !== undefined),
  ) as WithoutAbsent<T>;
}

function digestOf(settings: Omit<Profile, "digest">): string {
  return `sha256:${createHash("sha256").update(canonical(settings)).digest("hex")}`;
}

/** JSON with sorted keys, so that the order in a file does not matter. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) deepFreeze(part);
    Object.freeze(value);
  }
  return value;
}
