/** Every promise of a sandbox, and what a probe sandbox must have seen for it to hold. Data and pure functions only. */
import type { ProbeCheck } from "../contract.ts";
import type { Profile } from "../profile/index.ts";

/** What was seen, by name: the probe program's lines, and `engine.*` from outside. */
export type Sightings = ReadonlyMap<string, string>;

export interface Promised {
  id: string;
  promise: string;
  fix: string;
  /** Names of the sightings that decide, with the value each must have */
  expect: (profile: Profile, seen: Sightings) => Record<string, string | RegExp>;
}

const engineOld = "use engine 20.10 or newer with the runc runtime";
const seccompMissing = "use a kernel and an engine with seccomp";
const kernelLimits = "mount the cgroup controllers memory, pids and cpu, and restart the engine";
const engineMounts = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

const refused = (...names: string[]): Record<string, RegExp> =>
  Object.fromEntries(names.map((name) => [name, /^(EPERM|ENOSYS)$/]));

const startingWith = (prefix: string, seen: Sightings, value: RegExp): Record<string, RegExp> =>
  Object.fromEntries([...seen.keys()].filter((name) => name.startsWith(prefix)).map((name) => [name, value]));

export const promises: readonly Promised[] = [
  {
    id: "network",
    promise: "the only network interface is lo, and names of the job resolve to it",
    fix: engineOld,
    expect: () => ({ interfaces: /^lo ?$/, "socket.inet": "ok", "bind.443": "ok" }),
  },
  {
    id: "identity",
    promise: "every process is uid and gid 1000 with no further group",
    fix: engineOld,
    expect: () => ({
      "status.Uid": /^( ?1000){4}$/,
      "status.Gid": /^( ?1000){4}$/,
      "status.Groups": /^\s*(1000)?\s*$/,
    }),
  },
  {
    id: "capabilities",
    promise: "all five capability sets are empty",
    fix: engineOld,
    expect: () =>
      Object.fromEntries(["Inh", "Prm", "Eff", "Bnd", "Amb"].map((set) => [`status.Cap${set}`, /^0+$/])),
  },
  {
    id: "no-new-privileges",
    promise: "setuid programs gain nothing",
    fix: engineOld,
    expect: () => ({ "status.NoNewPrivs": "1" }),
  },
  {
    id: "seccomp",
    promise: "a system call filter is in force, for the native architecture only",
    fix: seccompMissing,
    expect: (_profile, seen) =>
      seen.has("call.32-bit")
        ? { "status.Seccomp": "2", "call.32-bit": /^(SIGSYS|SIGSEGV)$/ }
        : { "status.Seccomp": "2" },
  },
  {
    id: "socket-families",
    promise: "only UNIX, IPv4, IPv6 and route sockets can be made: no AF_ALG, AF_VSOCK or AF_PACKET",
    fix: seccompMissing,
    expect: () => ({
      "socket.unix": "ok",
      "socket.inet6": /^(ok|EAFNOSUPPORT)$/,
      ...refused("socket.alg", "socket.vsock", "socket.packet", "socket.rds", "socket.netfilter"),
    }),
  },
  {
    id: "namespaces",
    promise: "no namespace can be made or entered",
    fix: seccompMissing,
    expect: () => ({
      ...refused("call.unshare-user", "call.unshare-mount", "call.clone-user", "call.setns"),
      "call.clone3": "ENOSYS",
    }),
  },
  {
    id: "io-uring",
    promise: "io_uring is refused",
    fix: seccompMissing,
    expect: () => refused("call.io_uring"),
  },
  {
    id: "kernel-interfaces",
    promise: "keyctl, bpf, userfaultfd, perf, modules and kexec are refused",
    fix: seccompMissing,
    expect: () =>
      refused(
        "call.keyctl",
        "call.add_key",
        "call.request_key",
        "call.bpf",
        "call.userfaultfd",
        "call.perf",
        "call.init_module",
        "call.kexec",
        "call.personality",
      ),
  },
  {
    id: "mount",
    promise: "nothing can be mounted, and no file is opened by handle",
    fix: seccompMissing,
    expect: () => refused("call.mount", "call.fsopen", "call.pivot_root", "call.open_by_handle"),
  },
  {
    id: "ptrace",
    promise: "no process can trace or read another",
    fix: seccompMissing,
    expect: () => refused("call.ptrace", "call.process_vm_readv"),
  },
  {
    id: "guest",
    promise: "the guest's pipes, memory and environment are closed to the code it runs",
    fix: "build the guest anew and prepare the profiles",
    expect: () => ({
      "guest.fd": "EACCES",
      "guest.stdout": "EACCES",
      "guest.mem": "EACCES",
      "guest.environ": "EACCES",
    }),
  },
  {
    id: "rootfs",
    promise: "the root file system is read-only",
    fix: engineOld,
    expect: () => ({
      "write./probe": "EROFS",
      "write./sallyport/probe-write": "EROFS",
      "write./etc/probe": "EROFS",
      "write./workspace/probe": "ok",
    }),
  },
  {
    id: "disk",
    promise:
      "the writable folders have a fixed size and number of files, and only /workspace may hold programs",
    fix: engineOld,
    expect: ({ resources }) => ({
      "space./workspace": new RegExp(`^${resources.workspace} \\d{1,4} exec$`),
      "space./tmp": new RegExp(`^${resources.tmp} \\d{1,4} noexec$`),
      "space./run/sallyport": /^1048576 64 noexec$/,
      "inodes./workspace": /^\d{1,4} ENOSPC$/,
    }),
  },
  {
    id: "memory",
    promise: "memory is limited, swap included, and running out is noticed",
    fix: kernelLimits,
    expect: ({ resources: { memory } }, seen) => ({
      memory: "SIGKILL",
      "engine.memory-ran-out": "true",
      ...(seen.get("cgroup1.memory") === ""
        ? { "cgroup2.memory": String(memory), "cgroup2.swap": "0" }
        : { "cgroup1.memory": String(memory), "cgroup1.memory-and-swap": String(memory) }),
    }),
  },
  {
    id: "processes",
    promise: "the number of processes is limited",
    fix: kernelLimits,
    expect: () => ({ processes: /^\d{1,2} EAGAIN$/ }),
  },
  {
    id: "limits",
    promise: "no core dumps, and a bounded number of open files and file size",
    fix: engineOld,
    expect: () => ({
      "limit.core": "0 0",
      "limit.nofile": "1024 1024",
      "limit.fsize": /^\d{1,12} \d{1,12}$/,
      "limit.memlock": "0 0",
      "limit.msgqueue": "0 0",
    }),
  },
  {
    id: "masked",
    promise: "the kernel's and the host's secrets in /proc and /sys are hidden, the host's resolver too",
    fix: engineOld,
    expect: (_profile, seen) => ({
      "hidden./etc/resolv.conf": /./,
      ...startingWith("hidden.", seen, /^(empty|absent|EACCES)$/),
    }),
  },
  {
    id: "read-only",
    promise: "the kernel's settings cannot be written",
    fix: engineOld,
    expect: (_profile, seen) => ({
      "readonly./proc/sys": "readonly",
      ...startingWith("readonly.", seen, /^(readonly|absent)$/),
    }),
  },
  {
    id: "mounts",
    promise: "nothing of the host is mounted but the three files the engine writes",
    fix: engineOld,
    expect: (_profile, seen) => {
      const fromHost = [...seen].filter(
        ([name, value]) =>
          name.startsWith("mount.") && !/^(overlay|tmpfs|proc|sysfs|cgroup2?|mqueue|devpts) /.test(value),
      );
      const unexpected = fromHost.filter(([name]) => !engineMounts.includes(name.slice("mount.".length)));
      return {
        "mount./workspace": /^tmpfs \/$/,
        ...Object.fromEntries(unexpected.map(([name]) => [name, "absent"])),
      };
    },
  },
  {
    id: "log",
    promise: "the engine keeps no copy of the output",
    fix: engineOld,
    expect: () => ({ "engine.log": "none" }),
  },
  {
    id: "lifeline",
    promise: "a sandbox ends by itself when its worker is gone",
    fix: engineOld,
    expect: () => ({ "engine.lifeline": "exited" }),
  },
];

/** Judges what was seen, one check per promise. */
export function judge(profile: Profile, seen: Sightings): ProbeCheck[] {
  return promises.map(({ id, promise, fix, expect }) => {
    const expected = Object.entries(expect(profile, seen));
    const wrong = expected.filter(([name, want]) => !matches(seen.get(name), want));
    const ok = wrong.length === 0;
    const shown = (ok ? expected : wrong).map(([name]) => `${name}: ${seen.get(name) ?? "not seen"}`);
    const check: ProbeCheck = { id, promise, ok, evidence: shown.join(", ") };
    return ok ? check : { ...check, fix };
  });
}

function matches(value: string | undefined, want: string | RegExp): boolean {
  if (value === undefined) return false;
  return typeof want === "string" ? value === want : want.test(value);
}
