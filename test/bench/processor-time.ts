/** How much of a processor each part of a fleet used, as the kernel counts it. */
import { readFileSync } from "node:fs";

/** of `/proc/PID/stat`, everywhere that Node runs on Linux */
const ticksPerSecond = 100;

/** Where the fields behind the program's name stand: proc_pid_stat(5) */
const own = [11, 12];
const ofChildrenThatEnded = [13, 14];

/** Seconds a process has used; 0 once it is gone */
export function secondsOf(pid: number, fields: readonly number[] = own): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const values = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields.reduce((sum, at) => sum + Number(values[at]), 0) / ticksPerSecond;
  } catch {
    return 0;
  }
}

/** The same with its children, those that ended included */
export function secondsOfFamily(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  const live = children.reduce((sum, child) => sum + secondsOf(Number(child)), 0);
  return live + secondsOf(pid, [...own, ...ofChildrenThatEnded]);
}

/** Processors, by part */
export type Shares = Readonly<Record<string, number>>;

/** Starts counting; the function tells processors used by each part since. */
export function watchProcessors(parts: Readonly<Record<string, () => number>>): () => Shares {
  const before = new Map(Object.entries(parts).map(([name, used]) => [name, used()]));
  const began = performance.now();
  return () => {
    const seconds = (performance.now() - began) / 1_000;
    const shares = Object.entries(parts).map(([name, used]) => {
      return [name, (used() - (before.get(name) ?? 0)) / seconds] as const;
    });
    return Object.fromEntries(shares);
  };
}
