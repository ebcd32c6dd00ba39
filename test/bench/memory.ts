/** Resident memory of processes, as the kernel counts it. */
import { readFileSync } from "node:fs";

const everyMs = 50;

/** MB; 0 once the process is gone */
export function residentMb(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return (Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1_024) / 1e6;
  } catch {
    return 0;
  }
}

/** Seconds of processor time the process used so far, its own and the kernel's for it; clock ticks are 10 ms on Linux. */
export function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The most each process held while this lives. */
export class PeakMemory implements Disposable {
  readonly #peaks = new Map<number, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(pids: readonly number[]) {
    for (const pid of pids) this.#peaks.set(pid, residentMb(pid));
    this.#timer = setInterval(() => {
      for (const [pid, peak] of this.#peaks) this.#peaks.set(pid, Math.max(peak, residentMb(pid)));
    }, everyMs);
  }

  of(pid: number): number {
    return this.#peaks.get(pid) ?? 0;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
