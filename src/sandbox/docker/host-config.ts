/**
 * What the engine is asked for, as a pure function of the profile. Every setting is fixed or comes from the profile's
 * limits; nothing of a job is in it. The golden copy is in the unit tests, the effect of each setting is checked from
 * inside by the probe.
 */
import type { ContainerCreateOptions, DeviceRequest, HostConfig } from "dockerode";
import type { SandboxSpec } from "../contract.ts";
import type { Profile } from "../profile/index.ts";
import { labelsOf, type Owner } from "./labels.ts";
import { maskedPaths, readonlyPaths } from "./masks.ts";
import { seccompText } from "./seccomp.ts";

/** Where the guest stands in every prepared image */
export const guestPathInside = "/sallyport/guest";

export interface BodyFacts {
  /** Image id with the guest in it */
  image: string;
  owner: Owner;
  /** Wall clock, `ms` since the epoch */
  createdAt: number;
  /** Processors of the engine's host */
  cpus: number;
}

const mib = 2 ** 20;
const uid = 1000;
const shmBytes = 8 * mib;
/** Average file size a tmpfs is laid out for, in bytes: what an inode costs the kernel counts against memory too */
const bytesPerInode = 8_192;

export function createBody(spec: SandboxSpec, facts: BodyFacts): ContainerCreateOptions {
  const { profile } = spec;
  return {
    Image: facts.image,
    User: `${uid}:${uid}`,
    Hostname: "sandbox",
    Domainname: "",
    WorkingDir: "/workspace",
    Env: environment(profile),
    Entrypoint: [guestPathInside],
    Cmd: [],
    // an image's own health check would be a process nobody asked for
    Healthcheck: { Test: ["NONE"] },
    Tty: false,
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    StopSignal: "SIGTERM",
    Labels: labelsOf({
      ...facts.owner,
      lease: spec.lease,
      profile: profile.name,
      createdAt: facts.createdAt,
    }),
    HostConfig: { ...isolation(spec, facts.cpus), ...limits(profile) },
  };
}

function environment(profile: Profile): string[] {
  const fixed = { PATH: "/usr/local/bin:/usr/bin:/bin", LANG: "C.UTF-8", HOME: "/workspace" };
  return Object.entries({ ...fixed, ...profile.env }).map(([name, value]) => `${name}=${value}`);
}

function isolation(spec: SandboxSpec, cpus: number): HostConfig {
  return {
    Runtime: spec.profile.runtime,
    NetworkMode: "none",
    // without them the engine copies the host's resolver and search domains, and not every runtime masks a file
    Dns: ["127.0.0.1"],
    DnsSearch: ["."],
    DnsOptions: [],
    ExtraHosts: spec.hosts.map((host) => `${host}:127.0.0.1`),
    Privileged: false,
    CapDrop: ["ALL"],
    CapAdd: [],
    GroupAdd: [],
    Devices: [],
    DeviceRequests: gpus(spec.profile.resources.gpus),
    SecurityOpt: ["no-new-privileges:true", `seccomp=${seccompText()}`],
    ReadonlyRootfs: true,
    Binds: [],
    Mounts: [],
    Tmpfs: folders(spec.profile),
    MaskedPaths: maskedPaths(cpus),
    ReadonlyPaths: [...readonlyPaths],
    IpcMode: "private",
    PidMode: "",
    UTSMode: "",
    UsernsMode: "",
    CgroupnsMode: "private",
    Init: false,
    AutoRemove: true,
    RestartPolicy: { Name: "no" },
    LogConfig: { Type: "none", Config: {} },
  } as HostConfig;
}

/** The engine adds `noexec` to a tmpfs unless `exec` is written; without `uid` a mount point that exists stays root's. */
function folders(profile: Profile): Record<string, string> {
  const { workspace, tmp } = profile.resources;
  const sized = (bytes: number): string =>
    `size=${bytes},nr_inodes=${Math.max(64, Math.ceil(bytes / bytesPerInode))}`;
  const owned = `uid=${uid},gid=${uid},mode=0700`;
  return {
    "/workspace": `rw,exec,nosuid,nodev,${sized(workspace)},${owned}`,
    "/tmp": `rw,nosuid,nodev,${sized(tmp)},mode=1777`,
    "/run/sallyport": `rw,nosuid,nodev,size=${mib},nr_inodes=64,${owned}`,
    // the engine's own would bound its bytes alone
    "/dev/shm": `rw,nosuid,nodev,${sized(shmBytes)},mode=1777`,
  };
}

function limits(profile: Profile): HostConfig {
  const { memory, cpus, pids, workspace, tmp } = profile.resources;
  return {
    Memory: memory,
    // the sum of memory and swap: equal means no swap
    MemorySwap: memory,
    MemorySwappiness: 0,
    NanoCpus: Math.round(cpus * 1e9),
    CpuShares: 512,
    PidsLimit: hostThreads(profile.runtime, pids),
    ShmSize: shmBytes,
    OomKillDisable: false,
    // the sandbox dies before the worker does
    OomScoreAdj: 500,
    Ulimits: [
      { Name: "nofile", Soft: 1024, Hard: 1024 },
      { Name: "core", Soft: 0, Hard: 0 },
      { Name: "fsize", Soft: Math.max(workspace, tmp), Hard: Math.max(workspace, tmp) },
      { Name: "memlock", Soft: 0, Hard: 0 },
      { Name: "msgqueue", Soft: 0, Hard: 0 },
    ],
  };
}

/**
 * What the engine must allow for `pids` processes. gVisor runs each on several threads of the host besides its own
 * (seen: 40, and 17 for each process), and all of it ends when one more is refused.
 */
function hostThreads(runtime: Profile["runtime"], pids: number): number {
  return runtime === "runsc" ? 64 + 32 * pids : pids;
}

function gpus(count: number): DeviceRequest[] {
  return count > 0 ? [{ Driver: "", Count: count, DeviceIDs: [], Capabilities: [["gpu"]], Options: {} }] : [];
}
