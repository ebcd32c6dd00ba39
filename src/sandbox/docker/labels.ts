/** The labels on everything a driver makes: how its own leftovers are told from anybody else's containers. */
import type { SandboxInfo } from "../contract.ts";

const prefix = "dev.sallyport";

export const labelNames = {
  worker: `${prefix}.worker`,
  boot: `${prefix}.boot`,
  lease: `${prefix}.lease`,
  profile: `${prefix}.profile`,
  created: `${prefix}.created`,
} as const;

/** Which worker makes sandboxes, and in which of its lives. */
export interface Owner {
  worker: string;
  boot: string;
}

export type LabelValues = Omit<SandboxInfo, "id">;

export function labelsOf(values: LabelValues): Record<string, string> {
  return {
    [labelNames.worker]: values.worker,
    [labelNames.boot]: values.boot,
    [labelNames.lease]: values.lease,
    [labelNames.profile]: values.profile,
    [labelNames.created]: String(values.createdAt),
  };
}

/** Reads what `labelsOf` wrote; a container without a usable creation label falls back to `engineCreatedAt` (`ms`). */
export function readLabels(
  id: string,
  labels: Readonly<Record<string, string>>,
  engineCreatedAt: number,
): SandboxInfo {
  const text = (name: keyof typeof labelNames): string => labels[labelNames[name]] ?? "";
  const created = Number(text("created"));
  return {
    id,
    worker: text("worker"),
    boot: text("boot"),
    lease: text("lease"),
    profile: text("profile"),
    createdAt: Number.isSafeInteger(created) && created > 0 ? created : engineCreatedAt,
  };
}

/** Engine filters for the containers of one worker, or of one of its lives. */
export function ownerFilter(owner: { worker: string; boot?: string }): string[] {
  const worker = `${labelNames.worker}=${owner.worker}`;
  return owner.boot === undefined ? [worker] : [worker, `${labelNames.boot}=${owner.boot}`];
}
