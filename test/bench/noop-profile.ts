import { parseProfile, type Profile } from "../../src/sandbox/index.ts";

/** The profile of workers whose driver makes nothing. */
export function noopProfile(wallClock = "60s"): Profile {
  return parseProfile(
    {
      name: "noop",
      shape: "fanout",
      image: "none",
      resources: { cpus: 0.05, memory: "16MiB", pids: 8, workspace: "64KiB", tmp: "64KiB" },
      limits: { wallClock, output: "1MiB", artifacts: "1MiB" },
    },
    "noop.json",
  );
}
