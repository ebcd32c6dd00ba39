/** Reads a folder of profiles. A file that is wrong is told and left out; it does not hide the others. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { SallyportError, isError } from "../../errors.ts";
import { invalid, parseProfile, pathOf, type ProfileProblem } from "./parse.ts";
import { repeatedKeys } from "./repeated-keys.ts";
import type { Profile } from "./schema.ts";

export interface LoadedProfiles {
  /** By name, in the order of their names */
  profiles: ReadonlyMap<string, Profile>;
  problems: ProfileProblem[];
}

const suffix = ".json";
const schemaFile = "schema.json";
/** bytes */
const maxFileSize = 2 ** 20;

/** Every `*.json` in `dir` but `schema.json`. Throws `config_invalid` when the folder itself cannot be read. */
export async function loadProfiles(dir: string): Promise<LoadedProfiles> {
  const profiles = new Map<string, Profile>();
  const problems: ProfileProblem[] = [];
  for (const name of await profileFiles(dir)) {
    try {
      const profile = await loadProfile(join(dir, name));
      profiles.set(profile.name, profile);
    } catch (error) {
      if (!isError(error, "profile_invalid")) throw error;
      problems.push(...(error.details["problems"] as ProfileProblem[]));
    }
  }
  return { profiles, problems };
}

async function profileFiles(dir: string): Promise<string[]> {
  try {
    const names = await readdir(dir);
    return names
      .filter((name) => name.endsWith(suffix) && name !== schemaFile && !name.startsWith("."))
      .sort();
  } catch (error) {
    throw new SallyportError(
      "config_invalid",
      `the profiles folder ${dir} cannot be read: ${reasonOf(error)}`,
      {
        details: { field: "profiles", fix: "name a folder with profiles (*.json)" },
        cause: error,
      },
    );
  }
}

async function loadProfile(file: string): Promise<Profile> {
  const profile = parseProfile(parseJson(await readText(file), file), file);
  const expected = basename(file, suffix);
  if (profile.name === expected) return profile;
  throw problemWith(file, `"${profile.name}" must be the file's name, "${expected}"`, "name");
}

async function readText(file: string): Promise<string> {
  try {
    const facts = await stat(file);
    // a pipe would be waited for, a device read, without end
    if (!facts.isFile()) throw problemWith(file, "is not a regular file");
    if (facts.size > maxFileSize) throw problemWith(file, `larger than ${maxFileSize} bytes`);
    return await readFile(file, "utf8");
  } catch (error) {
    if (isError(error)) throw error;
    throw problemWith(file, `cannot be read: ${reasonOf(error)}`);
  }
}

function parseJson(text: string, file: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const reason = reasonOf(error);
    throw problemWith(`${file}:${lineOf(reason, text)}`, `is not JSON: ${reason}`);
  }
  const repeated = repeatedKeys(text).map(pathOf);
  if (repeated.length > 0)
    throw invalid(repeated.map((path) => ({ source: file, path, reason: "stands there twice" })));
  return json;
}

/** V8 says at which character it stopped, unless the text ended too early. */
function lineOf(reason: string, text: string): number {
  const at = /at position (\d+)/.exec(reason)?.[1];
  return text.slice(0, at === undefined ? text.length : Number(at)).split("\n").length;
}

function problemWith(source: string, reason: string, path = ""): SallyportError {
  return invalid([{ source, path, reason }]);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
