/** The smallest profile that is complete, to be changed by tests. */
export function sampleProfile(): Record<string, unknown> {
  return {
    name: "sample",
    shape: "interpreter",
    image: "sallyport/python",
    resources: { cpus: 1, memory: "256MiB", pids: 64, workspace: "64MiB", tmp: "16MiB" },
    limits: { wallClock: "60s", output: "16MiB", artifacts: "64MiB" },
  };
}

/** A copy of `sampleProfile` with the value at `path` (dots between keys) replaced; undefined removes it. */
export function withValue(path: string, value: unknown): Record<string, unknown> {
  const profile = sampleProfile();
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let part = profile;
  for (const key of keys) part = (part[key] ??= {}) as Record<string, unknown>;
  if (value === undefined) delete part[last];
  else part[last] = value;
  return profile;
}
