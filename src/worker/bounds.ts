import { SallyportError } from "../errors.ts";
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

/** The names a job's sandbox resolves. Throws `host_not_allowed` for one above the profile's ceiling. */
export function hostsOf(spec: JobSpec, profile: Profile): string[] {
  const ceiling = new Set(profile.network.mcp.map(({ host }) => host));
  return spec.mcp.map(({ host }, at) => {
    if (ceiling.has(host) || ceiling.has("*")) return host;
    throw new SallyportError(
      "host_not_allowed",
      `mcp[${at}].host: profile ${profile.name} does not allow ${host}`,
      {
        details: { field: `mcp[${at}].host` },
      },
    );
  });
}
