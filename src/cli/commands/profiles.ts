import { basename, dirname, resolve } from "node:path";
import { stat } from "node:fs/promises";
import { exitCodes } from "../exit-codes.ts";
import { bind, examples, group, withHub, withJson, type Register } from "../command.ts";
import type { ProfileView } from "../../client/index.ts";
import type { Context, HubFlags } from "../context.ts";
import { SallyportError } from "../../errors.ts";
import { formatDuration, formatSize } from "../../units.ts";
import { usageError } from "../failure.ts";
import { registerCost } from "./profile-cost.ts";
import { plain, table } from "../table.ts";

export const registerProfiles: Register = (parent, dispatch) => {
  const profiles = group(
    parent,
    "profiles",
    "look at sandbox profiles, check their files, measure what they cost",
  );
  const list = profiles.command("ls").description("every profile that workers offered");
  examples(withJson(withHub(list)), "sallyport profiles ls");
  bind<HubFlags>(list, dispatch, listProfiles);
  const show = profiles.command("show").argument("<name>").description("one profile in full");
  examples(withJson(withHub(show)), "sallyport profiles show python");
  bind<HubFlags>(show, dispatch, showProfile);
  const check = profiles
    .command("check")
    .argument("[path]", "a folder with profiles, or one file; the shipped ones by default")
    .description("check profile files, without a hub; exit code 1 when one is wrong");
  examples(
    withJson(check),
    "sallyport profiles check sandbox-profiles",
    "sallyport profiles check my/python.json",
  );
  bind<HubFlags>(check, dispatch, checkProfiles);
  registerCost(profiles, dispatch);
};

async function listProfiles(context: Context, flags: HubFlags): Promise<number> {
  const profiles = await (await context.client(flags)).profiles.list();
  if (flags.json === true) {
    await context.stdout.json({ profiles });
    return exitCodes.ok;
  }
  const rows = profiles.map((profile) => [
    profile.name,
    profile.shape,
    profile.languages.join(","),
    String(profile.resources.cpus),
    formatSize(profile.resources.memory),
    formatDuration(profile.limits.wallClock),
    String(profile.workers),
    profile.unusable === null ? null : profile.unusable.message,
  ]);
  const headings = ["NAME", "SHAPE", "LANGUAGES", "CPUS", "MEMORY", "WALL CLOCK", "WORKERS", "UNUSABLE"];
  await context.stdout.line(table(headings, rows));
  return exitCodes.ok;
}

async function showProfile(context: Context, flags: HubFlags, [name = ""]: string[]): Promise<number> {
  const profiles = await (await context.client(flags)).profiles.list();
  const profile = profiles.find((known) => known.name === name);
  if (profile === undefined) {
    const known = profiles.map((known) => known.name).join(", ") || "none";
    throw new SallyportError("profile_unknown", `no worker offered a profile ${JSON.stringify(name)}`, {
      details: { fix: `use one of: ${known}` },
    });
  }
  if (flags.json === true) await context.stdout.json(profile);
  else await context.stdout.line(describe(profile));
  return exitCodes.ok;
}

function describe(profile: ProfileView): string {
  const { resources, limits } = profile;
  return table(
    ["FIELD", "VALUE"],
    [
      ["name", profile.name],
      ["digest", profile.digest],
      ["shape", profile.shape],
      ["image", profile.image],
      ["runtime", profile.runtime],
      ["lifecycle", profile.lifecycle],
      ["languages", profile.languages.join(" ")],
      ["cpus", String(resources.cpus)],
      ["gpus", String(resources.gpus)],
      ["memory", formatSize(resources.memory)],
      ["pids", String(resources.pids)],
      ["workspace", formatSize(resources.workspace)],
      ["tmp", formatSize(resources.tmp)],
      ["wall clock", formatDuration(limits.wallClock)],
      ["output", formatSize(limits.output)],
      ["artifacts", formatSize(limits.artifacts)],
      ["mcp", profile.mcp.map(({ host }) => host).join(" ")],
      ["warm", String(profile.warm)],
      ["workers", String(profile.workers)],
      ["unusable", profile.unusable === null ? null : profile.unusable.message],
    ],
  );
}

async function checkProfiles(context: Context, flags: HubFlags, [path]: string[]): Promise<number> {
  const [{ sandboxSettings }, { loadProfiles }] = await Promise.all([
    import("../../config/index.ts"),
    import("../../sandbox/index.ts"),
  ]);
  const settings = sandboxSettings(
    path === undefined ? {} : { profiles: path },
    await context.environment(),
    context.cwd,
  );
  const { folder, only } = await place(resolve(settings.profilesDir));
  const loaded = await loadProfiles(folder);
  // A file that is not JSON is told with the line.
  const concerned = (source: string): boolean =>
    only === undefined || basename(source).replace(/:\d+$/, "") === only;
  const problems = loaded.problems.filter(({ source }) => concerned(source));
  const good = [...loaded.profiles.keys()].filter((name) => concerned(`${name}.json`));
  if (good.length + problems.length === 0) {
    const what = only === undefined ? `${folder} holds no profile` : `${only} is not a profile's file`;
    throw usageError(`profiles: ${what}`, "a profile stands in NAME.json");
  }
  if (flags.json === true) await context.stdout.json({ profiles: good, problems });
  else {
    for (const name of good) await context.stdout.line(`ok     ${name}`);
    for (const problem of problems)
      await context.stdout.line(
        `wrong  ${plain(`${problem.source}: ${problem.path === "" ? "" : `${problem.path}: `}${problem.reason}`)}`,
      );
  }
  return problems.length === 0 ? exitCodes.ok : exitCodes.failed;
}

async function place(path: string): Promise<{ folder: string; only: string | undefined }> {
  const facts = await stat(path).catch((error: Error) => {
    throw usageError(`profiles: ${error.message}`, "name a folder with profiles, or one profile");
  });
  return facts.isDirectory()
    ? { folder: path, only: undefined }
    : { folder: dirname(path), only: basename(path) };
}
