/** Turns a client's request into what a worker runs, within what the profile allows. */
import { SallyportError } from "../errors.ts";
import { parseDuration } from "../units.ts";
import { limits } from "./limits.ts";
import type { JobSpec, ParsedJobRequest } from "./job.ts";
import type { ProfileOffer } from "./messages.ts";

export interface ResolvedJob {
  spec: JobSpec;
  /** Contents of the files in order, then the stdin text; null when there is neither */
  inputs: Uint8Array | null;
}

/** Throws `language_unknown`, `limit_exceeds_profile`, `host_not_allowed`, `body_too_large` or `request_invalid`, each naming the field. */
export function resolveJob(request: ParsedJobRequest, profile: ProfileOffer): ResolvedJob {
  const files = request.files.map((file) =>
    Buffer.from(file.text ?? file.base64 ?? "", file.text === undefined ? "base64" : "utf8"),
  );
  const stdinText = typeof request.stdin === "string" ? Buffer.from(request.stdin, "utf8") : undefined;
  const inputs = Buffer.concat(stdinText === undefined ? files : [...files, stdinText]);
  if (inputs.length > limits.inputBytes) {
    throw refuse(
      "body_too_large",
      "files",
      `files and stdin are ${inputs.length} bytes together, the limit is ${limits.inputBytes}`,
    );
  }
  refuseTwins(request.files.map((file) => file.path));
  checkGrants(request, profile);
  const spec: JobSpec = {
    profile: profile.name,
    run: runOf(request, profile),
    env: request.env,
    files: request.files.map((file, at) => ({ path: file.path, size: files[at]?.length ?? 0 })),
    stdin: stdinOf(request.stdin, stdinText),
    mcp: request.mcp,
    timeoutMs: timeoutOf(request, profile),
    outputBytes: profile.limits.output,
    artifacts: request.artifacts,
    artifactBytes: profile.limits.artifacts,
    labels: request.labels,
    priority: request.priority,
    maxAttempts: request.retry.maxAttempts,
  };
  checkOffer(spec);
  return { inputs: inputs.length === 0 ? null : inputs, spec };
}

/** No worker could be offered what one message does not hold: each field may be small enough by itself, and a control character takes six bytes. */
function checkOffer(spec: JobSpec): void {
  const bytes = Buffer.byteLength(JSON.stringify(spec));
  if (bytes <= limits.specBytes) return;
  throw refuse(
    "body_too_large",
    "job",
    `is ${bytes} bytes as it is offered to workers, the limit is ${limits.specBytes}`,
  );
}

function refuse(
  code:
    "body_too_large" | "language_unknown" | "limit_exceeds_profile" | "host_not_allowed" | "request_invalid",
  field: string,
  reason: string,
): SallyportError {
  return new SallyportError(code, `${field}: ${reason}`, { details: { field } });
}

function runOf(request: ParsedJobRequest, profile: ProfileOffer): JobSpec["run"] {
  if (request.command !== undefined) return { command: request.command };
  const known = profile.languages.length === 0 ? "none" : profile.languages.join(", ");
  const language = request.language ?? (profile.languages.length === 1 ? profile.languages[0] : undefined);
  if (language === undefined) {
    throw refuse(
      "language_unknown",
      "language",
      `profile ${profile.name} needs it to be named; it has: ${known}`,
    );
  }
  if (!profile.languages.includes(language)) {
    throw refuse(
      "language_unknown",
      "language",
      `profile ${profile.name} has no ${JSON.stringify(language)}; it has: ${known}`,
    );
  }
  return { language, code: request.code ?? "" };
}

function stdinOf(stdin: ParsedJobRequest["stdin"], text: Uint8Array | undefined): JobSpec["stdin"] {
  if (text !== undefined) return { mode: "text", size: text.length };
  return stdin === undefined ? { mode: "none" } : { mode: "stream" };
}

function timeoutOf(request: ParsedJobRequest, profile: ProfileOffer): number {
  if (request.timeout === undefined) return profile.limits.wallClock;
  const timeoutMs = parseDuration(request.timeout, "timeout");
  if (timeoutMs > profile.limits.wallClock) {
    throw refuse(
      "limit_exceeds_profile",
      "timeout",
      `${timeoutMs} ms is more than profile ${profile.name} allows (${profile.limits.wallClock} ms)`,
    );
  }
  return timeoutMs;
}

function refuseTwins(paths: readonly string[]): void {
  const seen = new Set<string>();
  paths.forEach((path, at) => {
    if (seen.has(path))
      throw refuse("request_invalid", `files[${at}].path`, `${JSON.stringify(path)} stands twice`);
    seen.add(path);
  });
}

/** A job gets at most what its profile's ceiling lists: an unlisted host, or a tool outside the host's list, is refused. */
function checkGrants(request: ParsedJobRequest, profile: ProfileOffer): void {
  request.mcp.forEach((grant, at) => {
    const ceiling =
      profile.mcp.find((entry) => entry.host === grant.host) ??
      profile.mcp.find((entry) => entry.host === "*");
    if (ceiling === undefined) {
      throw refuse(
        "host_not_allowed",
        `mcp[${at}].host`,
        `profile ${profile.name} does not allow ${grant.host}`,
      );
    }
    const extra =
      ceiling.tools === undefined ? undefined : grant.tools?.find((tool) => !ceiling.tools?.includes(tool));
    if (extra !== undefined) {
      throw refuse(
        "host_not_allowed",
        `mcp[${at}].tools`,
        `profile ${profile.name} does not allow ${extra} on ${grant.host}`,
      );
    }
  });
}
