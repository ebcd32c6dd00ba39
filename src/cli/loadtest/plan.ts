/** From the command line of `loadtest` to jobs and when they arrive. */
import { access, constants, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { JobRequest, ProfileView } from "../../client/index.ts";
import { countFlag, durationFlag } from "../../config/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Load } from "../../loadtest/index.ts";
import type { HubFlags } from "../context.ts";
import { usageError } from "../failure.ts";

export interface LoadtestFlags extends HubFlags {
  profile?: string;
  concurrency?: string;
  total?: string;
  rate?: string;
  duration?: string;
  language?: string;
  code?: string;
  timeout?: string;
  mcp?: string[];
  html?: string;
}

export type Work = Pick<JobRequest, "language" | "code" | "command">;

const help = "see `sallyport loadtest --help`";
const defaults = { concurrency: 10, outstanding: 1_000, total: 100 };
/** Every job is kept for the report. */
const mostJobs = 1_000_000;
const mostOutstanding = 10_000;
const mostPerSecond = 100_000;
/** descriptors of ours that are no connection to the hub */
const spareDescriptors = 100;

export function planLoad(flags: LoadtestFlags, descriptors: number): Load {
  const ratePerS = flags.rate === undefined ? null : parseRate(flags.rate);
  const concurrency =
    flags.concurrency === undefined
      ? ratePerS === null
        ? defaults.concurrency
        : Math.min(defaults.outstanding, descriptors - spareDescriptors)
      : countFlag(flags.concurrency, "--concurrency", { min: 1, max: mostOutstanding });
  if (concurrency + spareDescriptors > descriptors) {
    throw usageError(
      `--concurrency: ${concurrency} connections need more open files than the ${descriptors} allowed here`,
      `raise the limit (ulimit -n ${concurrency + spareDescriptors}) or ask for less`,
    );
  }
  const durationMs = flags.duration === undefined ? Infinity : durationFlag(flags.duration, "--duration");
  const total =
    flags.total === undefined
      ? totalWithin(durationMs, ratePerS)
      : countFlag(flags.total, "--total", { min: 1, max: mostJobs });
  return { concurrency, total, durationMs, ratePerS };
}

/** As many as the other bounds let arrive; a closed loop without --total has no number. */
function totalWithin(durationMs: number, ratePerS: number | null): number {
  if (durationMs === Infinity) return defaults.total;
  if (ratePerS === null) return Infinity;
  const total = Math.ceil((durationMs * ratePerS) / 1_000);
  if (total <= mostJobs) return total;
  throw usageError(
    `--duration: ${total} jobs would arrive`,
    `ask for at most ${mostJobs}, with --total or less time`,
  );
}

function parseRate(text: string): number {
  const value = /^\d{1,6}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && value <= mostPerSecond) return value;
  throw usageError(
    `--rate: ${JSON.stringify(text)} is no rate`,
    `write arrivals per second, such as 20 or 0.5, up to ${mostPerSecond}`,
  );
}

/** What each job does, without looking at the hub; undefined to do what suits the profile. */
export function planWork(flags: LoadtestFlags, tail: readonly string[] | undefined): Work | undefined {
  if (flags.code !== undefined && tail !== undefined) {
    throw usageError("more than one thing to run", `give one of -c CODE and -- COMMAND; ${help}`);
  }
  if (tail !== undefined) {
    if (tail.length === 0) throw usageError("no command behind --", "write -- COMMAND ARGUMENT…");
    if (flags.language !== undefined)
      throw usageError("--language: goes with code only", `leave it out; ${help}`);
    return { command: [...tail] };
  }
  if (flags.code === undefined) {
    if (flags.language !== undefined && !Object.hasOwn(samples, flags.language)) {
      throw usageError(
        `--language: no code of our own for ${JSON.stringify(flags.language)}`,
        `give -c CODE; ${help}`,
      );
    }
    return flags.language === undefined
      ? undefined
      : { language: flags.language, code: samples[flags.language] ?? "" };
  }
  return flags.language === undefined ? undefined : { language: flags.language, code: flags.code };
}

const samples: Readonly<Record<string, string>> = {
  python: "print(6*7)",
  node: "console.log(6*7)",
  shell: "echo $((6*7))",
};

/** Throws `profile_unknown`, or `profile_unusable` when no worker can serve it: its jobs would wait for ever. */
export function checkProfile(profiles: readonly ProfileView[], name: string): ProfileView {
  const profile = profiles.find((offered) => offered.name === name);
  if (profile === undefined) {
    const known = profiles.map((offered) => offered.name);
    throw new SallyportError("profile_unknown", `--profile: no worker offers ${JSON.stringify(name)}`, {
      details: {
        field: "--profile",
        known,
        fix: `use one of ${known.join(", ") || "none: no worker is connected"}`,
      },
    });
  }
  if (profile.workers > 0 && profile.unusable === null) return profile;
  const why = profile.unusable?.message ?? "no worker that serves it is connected";
  throw new SallyportError("profile_unusable", `--profile ${name}: ${why}`, {
    details: { field: "--profile", fix: "see `sallyport profiles ls` and `sallyport workers ls`" },
  });
}

/** The job that suits a profile: in its own language if it has one. */
export function defaultWork({ languages }: Pick<ProfileView, "languages">, code: string | undefined): Work {
  const language = Object.keys(samples).find((name) => languages.includes(name));
  if (language !== undefined) return { language, code: code ?? samples[language] ?? "" };
  if (code === undefined) return { command: ["echo", "42"] };
  throw usageError("-c: the profile has no language", "give -- COMMAND ARGUMENT…");
}

/** Found out before the load, not after it. */
export async function checkPage(path: string, cwd: string): Promise<string> {
  const where = resolve(cwd, path);
  const fix = "name a file in a folder that can be written";
  const found = await stat(where).catch(() => undefined);
  if (found !== undefined && !found.isFile()) throw usageError(`--html: ${path} is no file`, fix);
  await access(found === undefined ? dirname(where) : where, constants.W_OK).catch((error: Error) => {
    throw usageError(`--html: ${error.message}`, fix);
  });
  return where;
}
