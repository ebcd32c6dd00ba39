/** What this host does while the load runs: its processors and memory as `/proc` tells them, and what we ourselves take. */
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type as osType, arch } from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";

export interface HostFacts {
  processor: string;
  processors: number;
  memoryBytes: number;
  system: string;
  node: string;
}

export function hostFacts(): HostFacts {
  const all = cpus();
  return {
    processor: all[0]?.model.trim() ?? "unknown",
    processors: all.length,
    memoryBytes: totalmem(),
    system: `${osType()} ${release()} ${arch()}`,
    node: process.version,
  };
}

/** Between two looks; shares are of all processors, `generator` of one. */
export interface HostPoint {
  /** `ms` since the run's start */
  at: number;
  user: number;
  system: number;
  /** waiting for disks */
  iowait: number;
  memoryUsedBytes: number;
  generator: number;
  /** of the time, in which something that could have run waited for a processor; null where the kernel does not tell */
  waiting: number | null;
}

/** Counters since boot (ticks), memory now, our own processor time (`ms`). */
export interface HostReading {
  at: number;
  user: number;
  system: number;
  iowait: number;
  all: number;
  memoryUsedBytes: number;
  ownCpuMs: number;
  /** `µs` since boot in which something waited for a processor; null where the kernel does not tell */
  waitedUs: number | null;
}

export type ReadHost = (at: number) => HostReading | undefined;

/** Where it cannot be read */
const usualFilesLimit = 1_024;
const firstEveryMs = 250;
const mostReadings = 1_200;

/** Looks every 250 ms, and half as often each time it has 1,200 readings. Without `/proc` it has no points. */
export class HostSampler implements Disposable {
  readonly #now: () => number;
  readonly #read: ReadHost;
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });
  #readings: HostReading[] = [];
  #everyMs = firstEveryMs;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: { now: () => number; read?: ReadHost }) {
    this.#now = deps.now;
    this.#read = deps.read ?? readHost;
    this.#delay.enable();
    this.#look();
  }

  /** Rates between readings: counters, so leaving readings out loses detail and no load. */
  points(): HostPoint[] {
    return this.#readings.slice(1).map((to, at) => between(this.#readings[at] ?? to, to));
  }

  /** How late our own timers were, `ms`: what the generator adds to what it measures */
  loopDelay(): { p50: number; p99: number; max: number } {
    const late = (percent: number): number => Math.max(0, this.#delay.percentile(percent) / 1e6 - 10);
    return { p50: late(50), p99: late(99), max: Math.max(0, this.#delay.max / 1e6 - 10) };
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#take();
    this.#delay.disable();
  }

  #look(): void {
    if (!this.#take()) return;
    this.#timer = setTimeout(() => this.#look(), this.#everyMs);
  }

  #take(): boolean {
    const reading = this.#read(this.#now());
    if (reading === undefined) return false;
    this.#readings.push(reading);
    if (this.#readings.length >= mostReadings) {
      this.#readings = this.#readings.filter((_, at) => at % 2 === 0);
      this.#everyMs *= 2;
    }
    return true;
  }
}

function between(from: HostReading, to: HostReading): HostPoint {
  const ticks = Math.max(1, to.all - from.all);
  const ms = Math.max(1, to.at - from.at);
  return {
    at: to.at,
    user: (to.user - from.user) / ticks,
    system: (to.system - from.system) / ticks,
    iowait: (to.iowait - from.iowait) / ticks,
    memoryUsedBytes: to.memoryUsedBytes,
    generator: (to.ownCpuMs - from.ownCpuMs) / ms,
    waiting:
      from.waitedUs === null || to.waitedUs === null
        ? null
        : Math.min(1, (to.waitedUs - from.waitedUs) / 1_000 / ms),
  };
}

/** Fields as in https://man7.org/linux/man-pages/man5/proc_stat.5.html; undefined where there is no `/proc`. */
function readHost(at: number): HostReading | undefined {
  try {
    const [user = 0, nice = 0, kernel = 0, idle = 0, iowait = 0, irq = 0, soft = 0, steal = 0] = readFileSync(
      "/proc/stat",
      "utf8",
    )
      .slice("cpu".length, 200)
      .trim()
      .split(/\s+/, 8)
      .map(Number);
    const memory = readFileSync("/proc/meminfo", "utf8");
    const kib = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(memory)?.[1] ?? 0);
    const own = process.cpuUsage();
    return {
      at,
      user: user + nice,
      system: kernel + irq + soft + steal,
      iowait,
      all: user + nice + kernel + idle + iowait + irq + soft + steal,
      memoryUsedBytes: (kib("MemTotal") - kib("MemAvailable")) * 1_024,
      ownCpuMs: (own.user + own.system) / 1_000,
      waitedUs: readPressure(),
    };
  } catch {
    return undefined;
  }
}

/** As in https://docs.kernel.org/accounting/psi.html; null where the kernel keeps no such account. */
function readPressure(): number | null {
  try {
    const some = /^some .*total=(\d+)/m.exec(readFileSync("/proc/pressure/cpu", "utf8"))?.[1];
    return some === undefined ? null : Number(some);
  } catch {
    return null;
  }
}

/** How many files, connections among them, this process may hold open at once. */
export function openFilesLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === "unlimited" ? Infinity : Number(soft ?? usualFilesLimit);
  } catch {
    return usualFilesLimit;
  }
}
