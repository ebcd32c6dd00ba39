/** From the command line of `run` to a job request and what is to be done around it. */
import { readFile, stat } from "node:fs/promises";
import { basename, extname, resolve } from "node:path";
import type { JobRequest } from "../../client/index.ts";
import { countFlag, durationFlag, pairsFlag } from "../../config/index.ts";
import { usageError } from "../failure.ts";
import type { HubFlags } from "../context.ts";

export interface RunFlags extends HubFlags {
  profile?: string;
  language?: string;
  code?: string;
  file?: string;
  mcp?: string[];
  input?: string[];
  output?: string[];
  env?: string[];
  timeout?: string;
  label?: string[];
  priority?: string;
  retry?: string;
  idempotencyKey?: string;
  detach?: boolean;
}

/** `path` in the sandbox, `local` here. */
export interface Transfer {
  path: string;
  local: string;
}

export interface RunPlan {
  /** all but stdin */
  request: JobRequest;
  outputs: readonly Transfer[];
}

/** bytes of all inputs together that a hub takes */
const inputLimit = 64 * 2 ** 20;
const help = "see `sallyport run --help`";

export async function planRun(
  flags: RunFlags,
  tail: readonly string[] | undefined,
  cwd: string,
): Promise<RunPlan> {
  const outputs = (flags.output ?? []).map(parseOutput);
  if (flags.detach === true && outputs.length > 0) {
    throw usageError("--output: a detached job is not waited for", "leave out --detach or --output");
  }
  const request: JobRequest = {
    ...(await work(flags, tail, cwd)),
    files: await readInputs((flags.input ?? []).map(parseInput), cwd),
    env: pairsFlag(flags.env ?? [], "--env"),
    mcp: (flags.mcp ?? []).map(parseGrant),
    labels: pairsFlag(flags.label ?? [], "--label"),
    artifacts: outputs.map(({ path }) => path),
  };
  if (flags.timeout !== undefined) {
    durationFlag(flags.timeout, "--timeout");
    request.timeout = flags.timeout;
  }
  if (flags.priority !== undefined) {
    request.priority = countFlag(flags.priority, "--priority", { min: -100, max: 100 });
  }
  if (flags.retry !== undefined) {
    request.retry = { maxAttempts: 1 + countFlag(flags.retry, "--retry", { min: 0, max: 19 }) };
  }
  return { request, outputs };
}

type Work = Pick<JobRequest, "profile" | "language" | "code" | "command">;

async function work(flags: RunFlags, tail: readonly string[] | undefined, cwd: string): Promise<Work> {
  const given = [flags.code, flags.file, tail].filter((way) => way !== undefined).length;
  if (given !== 1) {
    const count = given === 0 ? "nothing to run" : "more than one thing to run";
    throw usageError(count, `give one of -c CODE, --file FILE and -- COMMAND; ${help}`);
  }
  if (tail !== undefined) {
    if (tail.length === 0) throw usageError("no command behind --", "write -- COMMAND ARGUMENT…");
    if (flags.language !== undefined)
      throw usageError("--language: goes with code only", `leave it out; ${help}`);
    return { profile: flags.profile ?? "shell", command: [...tail] };
  }
  const language = languageOf(flags);
  const code = flags.code ?? (await readText(resolve(cwd, flags.file ?? ""), "--file"));
  return { profile: flags.profile ?? language, language, code };
}

const languageByExtension: Record<string, string> = {
  ".py": "python",
  ".js": "node",
  ".mjs": "node",
  ".cjs": "node",
  ".sh": "shell",
};

/** Named, else told by the file's name, else by a profile that is called like a language, else python. */
export function languageOf(flags: Pick<RunFlags, "language" | "file" | "profile">): string {
  const { language, file, profile } = flags;
  const byProfile = Object.values(languageByExtension).find((name) => name === profile);
  return language ?? languageByExtension[extname(file ?? "")] ?? byProfile ?? "python";
}

/** `data/in.csv` → `in.csv` in the sandbox; `a:b` → the local file `a` as `b`. The last colon divides. */
export function parseInput(text: string): Transfer {
  const at = text.lastIndexOf(":");
  const local = at === -1 ? text : text.slice(0, at);
  const path = at === -1 ? basename(text) : text.slice(at + 1);
  if (local === "" || path === "")
    throw usageError(`--input: ${JSON.stringify(text)}`, "write it as LOCAL or LOCAL:PATH");
  return { local, path };
}

/** `sub/out.csv` → `out.csv` here; `a:b` → the sandbox's `a` as local `b`. The first colon divides. */
export function parseOutput(text: string): Transfer {
  const at = text.indexOf(":");
  const path = at === -1 ? text : text.slice(0, at);
  const local = at === -1 ? basename(text) : text.slice(at + 1);
  if (local === "" || path === "")
    throw usageError(`--output: ${JSON.stringify(text)}`, "write it as PATH or PATH:LOCAL");
  return { local, path };
}

/** `docs` → every tool of `docs`; `docs=a,b` → those two. */
export function parseGrant(text: string): { host: string; tools?: string[] } {
  const at = text.indexOf("=");
  if (at === -1) return { host: text };
  const tools = text.slice(at + 1).split(",");
  if (at === 0 || tools.includes(""))
    throw usageError(`--mcp: ${JSON.stringify(text)}`, "write it as HOST or HOST=tool,tool");
  return { host: text.slice(0, at), tools };
}

async function readInputs(
  inputs: readonly Transfer[],
  cwd: string,
): Promise<{ path: string; base64: string }[]> {
  let total = 0;
  const files: { path: string; base64: string }[] = [];
  for (const { local, path } of inputs) {
    const where = resolve(cwd, local);
    total += await sizeOf(where, "--input");
    if (total > inputLimit) throw usageError(`--input: more than ${inputLimit} bytes together`, "send less");
    files.push({ path, base64: (await readFile(where)).toString("base64") });
  }
  return files;
}

async function readText(path: string, flag: string): Promise<string> {
  await sizeOf(path, flag);
  const bytes = await readFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw usageError(`${flag}: ${path} is not UTF-8 text`, "save it as UTF-8");
  }
}

async function sizeOf(path: string, flag: string): Promise<number> {
  const fix = "name a file that can be read";
  const facts = await stat(path).catch((error: Error) => {
    throw usageError(`${flag}: ${error.message}`, fix);
  });
  if (!facts.isFile()) throw usageError(`${flag}: ${path} is not a file`, fix);
  return facts.size;
}
