/** How a job's `run` becomes a command line and the files it needs, and how an interpreter is started ahead of one. */
import { SallyportError } from "../errors.ts";
import type { JobSpec } from "../protocol/index.ts";
import type { LanguageName, Profile } from "../sandbox/index.ts";

export interface Program {
  argv: readonly string[];
  /** Written into the workspace before the job's own files */
  source: { language: LanguageName; path: string; bytes: Uint8Array } | null;
  env: Readonly<Record<string, string>>;
}

/** A command line whose interpreter waits for its program instead of looking for it. */
export interface EarlyStart {
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
}

interface Language {
  file: string;
  interpreter: string;
  env: Readonly<Record<string, string>>;
  /** Put in front of a variable of its environment, this makes it run what its image has under `/opt/sallyport` first */
  early?: { variable: string; value: string; separator: string };
}

const languages: Record<LanguageName, Language> = {
  /** Unbuffered, so that output streams as it is printed */
  python: {
    file: "main.py",
    interpreter: "python3",
    env: { PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1" },
    early: { variable: "PYTHONPATH", value: "/opt/sallyport", separator: ":" },
  },
  /** Node decides by the source whether it is a module or CommonJS */
  node: {
    file: "main.js",
    interpreter: "node",
    env: {},
    early: { variable: "NODE_OPTIONS", value: "--require=/opt/sallyport/run.cjs", separator: " " },
  },
  shell: { file: "main.sh", interpreter: "sh", env: {} },
};

/** Throws `language_unknown`, or `request_invalid` when a file of the job has the name of its own code. */
export function programOf(spec: Pick<JobSpec, "run" | "files">, profile: Profile): Program {
  if ("command" in spec.run) return { argv: spec.run.command, source: null, env: {} };
  const name = spec.run.language;
  const language = isKnown(name) && profile.languages[name] !== undefined ? languages[name] : undefined;
  if (language === undefined || !isKnown(name)) {
    const known = Object.keys(profile.languages).join(", ");
    throw new SallyportError(
      "language_unknown",
      `language: profile ${profile.name} has no ${JSON.stringify(name)}`,
      { details: { field: "language", fix: `use one of: ${known === "" ? "none" : known}` } },
    );
  }
  refuseTwin(spec.files, language.file);
  return {
    argv: [language.interpreter, language.file],
    source: { language: name, path: language.file, bytes: Buffer.from(spec.run.code, "utf8") },
    env: language.env,
  };
}

/**
 * How an interpreter of the profile's language is started before there is a job; undefined for one that has nothing to do ahead.
 * `nonce` is what it begins its lines with.
 */
export function earlyStartOf(name: LanguageName, profile: Profile, nonce: string): EarlyStart | undefined {
  const { interpreter, file, env, early } = languages[name];
  if (early === undefined) return undefined;
  const { variable, value, separator } = early;
  const order = [nonce, ...(profile.languages[name]?.preload ?? [])].join(" ");
  const own = profile.env[variable] ?? "";
  return {
    argv: [interpreter, file],
    env: {
      ...env,
      ...profile.env,
      [variable]: own === "" ? value : `${value}${separator}${own}`,
      SALLYPORT_WARM: order,
    },
  };
}

function isKnown(name: string): name is LanguageName {
  return Object.hasOwn(languages, name);
}

function refuseTwin(files: JobSpec["files"], taken: string): void {
  const at = files.findIndex((file) => file.path === taken || file.path.startsWith(`${taken}/`));
  if (at < 0) return;
  throw new SallyportError(
    "request_invalid",
    `files[${at}].path: ${JSON.stringify(files[at]?.path)} is where the job's code is written`,
    { details: { field: `files[${at}].path`, fix: `give the file another name than ${taken}` } },
  );
}
