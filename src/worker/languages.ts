/** How a job's `run` becomes a command line and the files it needs. */
import { SallyportError } from "../errors.ts";
import type { JobSpec } from "../protocol/index.ts";
import type { LanguageName, Profile } from "../sandbox/index.ts";

export interface Program {
  argv: readonly string[];
  /** Written into the workspace before the job's own files */
  source: { path: string; bytes: Uint8Array } | null;
  env: Readonly<Record<string, string>>;
}

interface Language {
  file: string;
  interpreter: string;
  env: Readonly<Record<string, string>>;
}

const languages: Record<LanguageName, Language> = {
  /** Unbuffered, so that output streams as it is printed */
  python: {
    file: "main.py",
    interpreter: "python3",
    env: { PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1" },
  },
  /** Node decides by the source whether it is a module or CommonJS */
  node: { file: "main.js", interpreter: "node", env: {} },
  shell: { file: "main.sh", interpreter: "sh", env: {} },
};

/** Throws `language_unknown`, or `request_invalid` when a file of the job has the name of its own code. */
export function programOf(spec: Pick<JobSpec, "run" | "files">, profile: Profile): Program {
  if ("command" in spec.run) return { argv: spec.run.command, source: null, env: {} };
  const name = spec.run.language;
  const language = isKnown(name) && profile.languages[name] !== undefined ? languages[name] : undefined;
  if (language === undefined) {
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
    source: { path: language.file, bytes: Buffer.from(spec.run.code, "utf8") },
    env: language.env,
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
