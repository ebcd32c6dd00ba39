/**
 * The kernel's own count of processes killed for memory in a container, where this host runs the engine. The engine's
 * `oom` event says the same but may come later than the exit it explains.
 */
import { readFile } from "node:fs/promises";

const root = "/sys/fs/cgroup";

/** Version 1 and 2, with the cgroupfs and the systemd driver. */
function candidates(id: string): string[] {
  return [
    `${root}/memory/docker/${id}/memory.oom_control`,
    `${root}/memory/system.slice/docker-${id}.scope/memory.oom_control`,
    `${root}/docker/${id}/memory.events`,
    `${root}/system.slice/docker-${id}.scope/memory.events`,
  ];
}

/** True when the kernel killed something in the container for memory; false also where that cannot be read. */
export async function killedForMemory(id: string): Promise<boolean> {
  for (const path of candidates(id)) {
    const text = await readFile(path, "utf8").catch(() => "");
    const killed = /^oom_kill (\d+)$/m.exec(text)?.[1];
    if (killed !== undefined) return killed !== "0";
  }
  return false;
}
