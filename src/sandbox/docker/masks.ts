/**
 * What is hidden from a sandbox and what it may only read. A list given through the API replaces the engine's own, so
 * these are complete; paths that do not exist are skipped by the engine.
 */
const maskedEverywhere = [
  "/etc/resolv.conf",
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kallsyms",
  "/proc/kcore",
  "/proc/keys",
  "/proc/kmsg",
  "/proc/latency_stats",
  // whoever writes there has the kernel watch the load of the whole host for him
  "/proc/pressure",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
  "/sys/kernel/debug",
  "/sys/kernel/security",
];

export const readonlyPaths = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
] as const;

/** Every path to hide on an engine with `cpus` processors, each of which has counters of its own. */
export function maskedPaths(cpus: number): string[] {
  const counters = Array.from(
    { length: cpus },
    (_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`,
  );
  return [...maskedEverywhere, ...counters];
}
