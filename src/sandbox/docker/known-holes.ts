/**
 * Published holes in engines, runtimes and kernels that a version tells of, and the layers a host lacks. All of it is
 * advice: a distribution's package may carry a fix under an old version, and no check here stops a worker.
 */
import type { EngineFacts } from "./engine.ts";

interface Hole {
  /** Name of the fact that holds the version */
  part: "engine" | "runc" | "kernel";
  ids: string;
  /** What it lets somebody do, and what that means here */
  what: string;
  /** First fixed version of each line that got a fix, oldest line first */
  fixedIn: readonly string[];
  /** Packages that carry the fix under an older version */
  backported?: RegExp;
}

const holes: readonly Hole[] = [
  {
    part: "engine",
    ids: "CVE-2024-29018",
    what: "names resolve from internal networks (sandboxes have no network)",
    fixedIn: ["23.0.11", "25.0.5", "26.0.0"],
  },
  {
    part: "engine",
    ids: "CVE-2024-41110, CVE-2026-34040",
    what: "authorisation plugins can be walked around (Sallyport relies on none)",
    fixedIn: ["29.3.1"],
  },
  {
    part: "engine",
    ids: "CVE-2026-41567, CVE-2026-42306, GO-2026-5668",
    what: "copying files in or out of a container can end as root on the host (Sallyport never does; `docker cp` would)",
    fixedIn: ["29.5.1"],
  },
  {
    part: "runc",
    ids: "CVE-2024-21626",
    what: "a leaked descriptor opens the host to a crafted working directory (ours is fixed)",
    fixedIn: ["1.1.12"],
    backported: /^1\.1\.5\+ds1-1\+deb12u/,
  },
  {
    part: "runc",
    ids: "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
    what: "races on masked paths and devices while a container is set up",
    fixedIn: ["1.2.8", "1.3.3", "1.4.0"],
  },
  {
    part: "runc",
    ids: "CVE-2026-41579",
    what: "an image whose /dev is a link writes a little on the host: use images you trust",
    fixedIn: ["1.3.6", "1.4.3", "1.5.0"],
  },
  {
    part: "kernel",
    ids: "CVE-2026-31431",
    what: "AF_ALG sockets change files of other containers (sandboxes get no such socket)",
    fixedIn: ["6.12.85", "6.18.22", "6.19.12", "7.0"],
  },
  {
    part: "kernel",
    ids: "CVE-2026-43284",
    what: "ESP over UDP changes files of other containers",
    fixedIn: ["6.6.138", "6.12.87", "6.18.28", "7.0.5"],
  },
  {
    part: "kernel",
    ids: "CVE-2026-43500",
    what: "RxRPC sockets change files of other containers (sandboxes get no such socket)",
    fixedIn: ["6.18.29", "7.0.6"],
  },
];

/** What an operator should know about this engine's host, one line each. */
export function warningsOf({ version, described, warnings }: EngineFacts): string[] {
  const versions = { engine: version, runc: described["runc"], kernel: described["kernel"] };
  const open = holes.filter(({ part, fixedIn, backported }) => {
    const running = versions[part] ?? "";
    return isVersion(running) && !isFixed(running, fixedIn) && backported?.test(running) !== true;
  });
  return [
    ...warnings,
    ...open.map(
      ({ part, ids, what, fixedIn }) =>
        `${part} ${versions[part]} may lack the fix of ${ids}: ${what}; fixed in ${fixedIn.join(", ")}`,
    ),
    ...missingLayers(described),
  ];
}

function missingLayers(described: EngineFacts["described"]): string[] {
  const { security = "", cgroup = "" } = described;
  const has = (...names: string[]): boolean => names.some((name) => security.includes(name));
  return [
    ...(cgroup.startsWith("v1") ? ["cgroup v1: the host's cgroup paths are not hidden from a sandbox"] : []),
    ...(has("apparmor", "selinux")
      ? []
      : ["no AppArmor or SELinux: one layer less between a sandbox and the kernel"]),
    ...(has("rootless", "userns")
      ? []
      : ["the engine is neither rootless nor remaps users: uid 1000 inside is uid 1000 outside"]),
  ];
}

function isVersion(text: string): boolean {
  return /^\d+\.\d/.test(text);
}

/** At or behind the fix of its own line, or behind the last line that needed one. */
function isFixed(running: string, fixedIn: readonly string[]): boolean {
  const mine = numbers(running);
  return fixedIn.some((text, at) => {
    const fix = numbers(text);
    const sameLine = mine[0] === fix[0] && mine[1] === fix[1];
    return (sameLine || at === fixedIn.length - 1) && compare(mine, fix) >= 0;
  });
}

/** `6.18.44-fc-v657` → 6, 18, 44; `1.1.5+ds1` → 1, 1, 5 */
function numbers(version: string): number[] {
  const dotted = /^\d+(\.\d+)*/.exec(version)?.[0] ?? "";
  return dotted.split(".").map(Number);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
