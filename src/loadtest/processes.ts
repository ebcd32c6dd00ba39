import { readdirSync, readFileSync } from "node:fs";

/**
 * Processes of these containers on this host: in a container's control group, or an engine's helper for one. The engine's
 * helpers name the container in their arguments. Undefined where there is no `/proc`.
 */
export function processesOf(containers: ReadonlySet<string>, proc = "/proc"): number[] | undefined {
  const ids = (text: string): string[] => text.match(/[0-9a-f]{64}/g) ?? [];
  try {
    return readdirSync(proc)
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) =>
        ["cgroup", "cmdline"].some((file) =>
          ids(read(`${proc}/${pid}/${file}`)).some((id) => containers.has(id)),
        ),
      )
      .map(Number);
  } catch {
    return undefined;
  }
}

/** Empty for a process that has ended meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
