/** What each profile costs on this host: measured once, and again when the host, the engine, the image or the profile changed. */
import { randomUUID } from "node:crypto";
import { availableParallelism, cpus, totalmem } from "node:os";
import type { SandboxSettings } from "../config/index.ts";
import { isError, SallyportError, type WireError } from "../errors.ts";
import { createLog } from "../log.ts";
import type { DockerDriver, Profile } from "../sandbox/index.ts";
import { CostCache, type CostConditions } from "./cost-cache.ts";
import { measureCost, type CostFigures } from "./cost-measure.ts";
import { openDriver, readProfiles } from "./sandboxes.ts";

export interface CostOptions {
  settings: SandboxSettings;
  stateDir: string;
  /** All profiles when none is named */
  names: readonly string[];
  /** Measure also what is known */
  fresh: boolean;
  progress: (text: string) => void;
  signal: AbortSignal;
}

export interface ProfileCost {
  profile: string;
  /** Null when it cannot run here */
  figures: CostFigures | null;
  /** They were measured before, under the same conditions */
  cached: boolean;
  unusable: WireError | null;
}

/** Sandboxes made for each figure */
const rounds = 10;

/** One after another. Throws `profile_unknown`, `engine_unavailable` or the signal's reason; nothing is left behind. */
export async function measureCosts(options: CostOptions): Promise<ProfileCost[]> {
  const log = createLog({ level: "warn" });
  const profiles = select(await readProfiles(options.settings.profilesDir, log), options.names);
  const owner = { worker: `cost-${randomUUID()}`, boot: randomUUID() };
  await using driver = openDriver(options.settings, owner, log);
  const cache = new CostCache(options.stateDir);
  const costs: ProfileCost[] = [];
  for (const profile of profiles) costs.push(await costOf(profile, driver, { ...options, cache }));
  return costs;
}

function select(known: ReadonlyMap<string, Profile>, names: readonly string[]): Profile[] {
  if (names.length === 0) return [...known.values()];
  return names.map((name) => {
    const profile = known.get(name);
    if (profile !== undefined) return profile;
    throw new SallyportError("profile_unknown", `there is no profile ${JSON.stringify(name)}`, {
      details: { profile: name, fix: `use one of: ${[...known.keys()].join(", ")}` },
    });
  });
}

async function costOf(
  profile: Profile,
  driver: DockerDriver,
  { cache, fresh, progress, signal }: CostOptions & { cache: CostCache },
): Promise<ProfileCost> {
  const { name } = profile;
  try {
    await driver.prepare(profile, signal);
    const conditions = { ...host(), ...(await driver.conditions(profile)), profile: profile.digest };
    const known = fresh ? undefined : await cache.get(name, conditions);
    if (known !== undefined) return { profile: name, figures: known, cached: true, unusable: null };
    const figures = await measureCost(driver, profile, { rounds, progress, signal });
    await cache.set(name, conditions, figures);
    return { profile: name, figures, cached: false, unusable: null };
  } catch (error) {
    signal.throwIfAborted();
    if (!isError(error, "profile_unusable", "image_unavailable", "runtime_unavailable")) throw error;
    return { profile: name, figures: null, cached: false, unusable: error.toWire() };
  }
}

function host(): Pick<CostConditions, "cpu" | "cores" | "memoryBytes"> {
  return { cpu: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), memoryBytes: totalmem() };
}
