/** An interpreter that was started ahead in a sandbox, its modules loaded, and waits for one job on its stdin. */
import { randomBytes } from "node:crypto";
import { abortable } from "../../async/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import type { JobSpec } from "../../protocol/index.ts";
import type { Exec, Guest, LanguageName, OutputChunk, Profile } from "../../sandbox/index.ts";
import { earlyStartOf } from "../languages.ts";
import { AnnouncementSearch, type Announcement } from "./announcement.ts";
import { suits } from "./suits.ts";

/** What an interpreter is given to run. */
export interface Handover {
  /** Written by the interpreter itself; null: the program is in the workspace already */
  source: { path: string; bytes: Uint8Array } | null;
  env: Readonly<Record<string, string>>;
  /** False: the program reads EOF at once */
  stdin: boolean;
}

type Ready = Extract<Announcement, { kind: "ready" }>;

interface Parts {
  exec: Exec;
  output: AsyncIterator<OutputChunk>;
  rest: readonly OutputChunk[];
  ready: Ready;
}

export class Interpreter {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Resolves when it is over, whatever ended it. */
  get died(): Promise<void> {
    return this.#parts.exec.exit.then(
      () => undefined,
      () => undefined,
    );
  }

  /** Whether `spec` runs in it as it would in one that starts now */
  suits(spec: Pick<JobSpec, "env" | "files">): boolean {
    return suits(spec, this.#parts.ready.names);
  }

  /**
   * Hands it its one job and resolves when that is on its way. What becomes of it is told by the exec, whose usage leaves out what
   * was used before. Throws `sandbox_lost` when the interpreter is no more: then nothing of the job ran.
   */
  async begin(job: Handover): Promise<Exec> {
    const { exec, ready } = this.#parts;
    try {
      await exec.stdin.write(encode(job));
    } catch (error) {
      throw new SallyportError("sandbox_lost", "the interpreter that waited for the job is no more", {
        cause: error,
      });
    }
    if (!job.stdin) exec.stdin.end();
    const exit = exec.exit.then(({ usage, ...end }) => ({
      ...end,
      usage: { ...usage, cpuMs: Math.max(0, usage.cpuMs - ready.cpuMs) },
    }));
    exit.catch(() => undefined);
    return {
      id: exec.id,
      output: { [Symbol.asyncIterator]: () => this.#output() },
      stdin: exec.stdin,
      exit,
      signal: (name) => exec.signal(name),
      killTree: () => exec.killTree(),
      resize: (size) => exec.resize(size),
    };
  }

  /** Ends it: the job wants something else. */
  discard(): void {
    const { exec, output } = this.#parts;
    exec.killTree();
    void output.return?.().catch(() => undefined);
  }

  #output(): AsyncIterator<OutputChunk> {
    const { output, rest } = this.#parts;
    if (rest.length === 0) return output;
    const first = rest[Symbol.iterator]();
    return {
      next: async () => {
        const kept = first.next();
        return kept.done === true ? await output.next() : kept;
      },
    };
  }
}

/** length u32 big endian, then NUL-separated program path, program text and `NAME=value` of the environment */
function encode({ source, env }: Handover): Uint8Array {
  const variables = Object.entries(env).map(([name, value]) => `\0${name}=${value}`);
  const parts = [
    Buffer.alloc(4),
    Buffer.from(`${source?.path ?? ""}\0`),
    source?.bytes ?? Buffer.alloc(0),
    Buffer.from(variables.join("")),
  ];
  const block = Buffer.concat(parts);
  block.writeUInt32BE(block.length - 4, 0);
  return block;
}

export interface InterpreterStart {
  profile: Profile;
  language: LanguageName;
  /** Put before the language's and the profile's variables */
  env: Readonly<Record<string, string>>;
}

/**
 * Starts one in `guest` and resolves once it waits. Undefined where the language has nothing to start ahead, or the image nothing to
 * do it with and no module asks for it. Throws `profile_unusable` naming the language, the module and the reason; or what the guest throws.
 */
export async function startInterpreter(
  guest: Guest,
  { profile, language, env }: InterpreterStart,
  signal: AbortSignal,
): Promise<Interpreter | undefined> {
  const nonce = randomBytes(12).toString("hex");
  const start = earlyStartOf(language, profile, nonce);
  if (start === undefined) return undefined;
  try {
    const exec = await abortable(
      guest.exec({ ...start, env: { ...env, ...start.env }, cwd: "/workspace", stdin: "pipe" }),
      signal,
    );
    return await listen(exec, nonce, signal);
  } catch (error) {
    const preload = profile.languages[language]?.preload ?? [];
    if (error instanceof NoAnnouncement || isError(error, "command_not_found", "command_not_executable")) {
      if (preload.length === 0) return undefined;
      const what = `nothing can be preloaded in image ${profile.image} (${error.message})`;
      throw unusable(`languages.${language}: ${what}`, error);
    }
    if (error instanceof PreloadFailure)
      throw unusable(`languages.${language}.preload: ${error.module}: ${error.message}`, error);
    throw error;
  }
}

/** It ended by itself without a word: not one that knows how to wait. */
class NoAnnouncement extends Error {}

class PreloadFailure extends Error {
  readonly module: string;

  constructor({ module, reason }: Extract<Announcement, { kind: "failed" }>) {
    super(reason);
    this.module = module;
  }
}

async function listen(exec: Exec, nonce: string, signal: AbortSignal): Promise<Interpreter> {
  const output = exec.output[Symbol.asyncIterator]();
  const search = new AnnouncementSearch(nonce);
  for (;;) {
    const next = await abortable(output.next(), signal);
    if (next.done === true) return await endedEarly(exec, signal);
    const heard = search.push(next.value);
    if (heard?.kind === "failed") throw new PreloadFailure(heard);
    if (heard !== undefined) return new Interpreter({ exec, output, rest: search.rest, ready: heard });
  }
}

async function endedEarly(exec: Exec, signal: AbortSignal): Promise<never> {
  const { exitCode, signal: killedBy } = await abortable(exec.exit, signal);
  if (killedBy === null) throw new NoAnnouncement(`it ended with exit code ${String(exitCode)}`);
  throw new SallyportError("sandbox_lost", `an interpreter was ended by ${killedBy} while it was started`);
}

function unusable(message: string, cause: Error): SallyportError {
  return new SallyportError("profile_unusable", message, { cause });
}
