/** The profile of the sandboxes that only look around: as small as a real one, and made from nothing but our programs. */
import type { Profile } from "../profile/index.ts";

const mib = 2 ** 20;

/** An image without any file; the guest and the probe are all there is. */
export const scratchImage = "scratch";

export function probeProfile(runtime: Profile["runtime"]): Profile {
  return {
    name: "probe",
    digest: "sha256:probe",
    shape: "shell",
    image: scratchImage,
    runtime,
    lifecycle: "job",
    resources: { cpus: 0.5, memory: 64 * mib, pids: 32, workspace: 4 * mib, tmp: 2 * mib, gpus: 0 },
    limits: { wallClock: 30_000, output: mib, artifacts: mib, idle: null },
    languages: {},
    network: { mcp: [] },
    pool: { warm: 0, maxAge: 60_000 },
    env: {},
  };
}
