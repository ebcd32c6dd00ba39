/** What a worker stands on: profiles, the guest and the engine. */
import { existsSync } from "node:fs";
import type { SandboxSettings } from "../config/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import { createDockerDriver, loadProfiles, type DockerDriver, type Profile } from "../sandbox/index.ts";

export interface Owner {
  worker: string;
  boot: string;
}

/** Throws `image_unavailable` when the guest was never built. */
export function openDriver(settings: SandboxSettings, owner: Owner, log: Log): DockerDriver {
  const { dockerHost, guestPath, probePath } = settings;
  if (!existsSync(guestPath)) {
    throw new SallyportError("image_unavailable", `the guest program is missing (${guestPath})`, {
      details: { fix: "build it, and the images, with `npm run setup`" },
    });
  }
  return createDockerDriver(
    { log },
    { ...owner, guestPath, probePath, ...(dockerHost !== undefined && { dockerHost }) },
  );
}

/** Every profile that can be read; what cannot is logged. Throws `profile_invalid` when none can. */
export async function readProfiles(dir: string, log: Log): Promise<ReadonlyMap<string, Profile>> {
  const { profiles, problems } = await loadProfiles(dir);
  for (const { source, path, reason } of problems)
    log.error({ file: source, path, reason }, "profile left out");
  if (profiles.size > 0) return profiles;
  throw new SallyportError("profile_invalid", `${dir} holds no usable profile`, {
    details: { file: dir, problems, fix: `see \`sallyport profiles check ${dir}\`` },
  });
}
