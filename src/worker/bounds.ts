import type { JobSpec } from "../protocol/index.ts";
import type { Profile } from "../sandbox/index.ts";

/** What a job is held to here: what it asks for, and never more than the profile on this worker allows, whatever the hub says. */
export interface Bounds {
  timeoutMs: number;
  outputBytes: number;
  artifactBytes: number;
}

export function boundsOf(spec: JobSpec, profile: Profile): Bounds {
  return {
    timeoutMs: Math.min(spec.timeoutMs, profile.limits.wallClock),
    outputBytes: Math.min(spec.outputBytes, profile.limits.output),
    artifactBytes: Math.min(spec.artifactBytes, profile.limits.artifacts),
  };
}
