import assert from "node:assert/strict";
import { test } from "node:test";
import type { Profile, SandboxSpec } from "../../../../src/sandbox/index.ts";
import { createBody } from "../../../../src/sandbox/docker/host-config.ts";
import { seccompText } from "../../../../src/sandbox/docker/seccomp.ts";

const profile: Profile = {
  name: "python",
  digest: "sha256:0",
  shape: "interpreter",
  image: "sallyport/python",
  runtime: "runc",
  lifecycle: "job",
  resources: {
    cpus: 1.5,
    memory: 512 * 2 ** 20,
    pids: 128,
    workspace: 256 * 2 ** 20,
    tmp: 64 * 2 ** 20,
    gpus: 0,
  },
  limits: { wallClock: 60_000, output: 1, artifacts: 1, idle: null },
  languages: {},
  network: { mcp: [{ host: "docs" }] },
  pool: { warm: 0, maxAge: 60_000 },
  env: { MPLBACKEND: "agg" },
};
const spec: SandboxSpec = { profile, lease: "lease-1", hosts: ["docs", "files.corp"] };
const facts = {
  image: "sha256:abc",
  owner: { worker: "w1", boot: "b1" },
  createdAt: 1_700_000_000_000,
  cpus: 2,
};

const golden = {
  Image: "sha256:abc",
  User: "1000:1000",
  Hostname: "sandbox",
  Domainname: "",
  WorkingDir: "/workspace",
  Env: ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/workspace", "MPLBACKEND=agg"],
  Entrypoint: ["/sallyport/guest"],
  Cmd: [],
  Healthcheck: { Test: ["NONE"] },
  Tty: false,
  OpenStdin: true,
  StdinOnce: true,
  AttachStdin: true,
  AttachStdout: true,
  AttachStderr: true,
  StopSignal: "SIGTERM",
  Labels: {
    "dev.sallyport.worker": "w1",
    "dev.sallyport.boot": "b1",
    "dev.sallyport.lease": "lease-1",
    "dev.sallyport.profile": "python",
    "dev.sallyport.created": "1700000000000",
  },
  HostConfig: {
    Runtime: "runc",
    NetworkMode: "none",
    Dns: ["127.0.0.1"],
    DnsSearch: ["."],
    DnsOptions: [],
    ExtraHosts: ["docs:127.0.0.1", "files.corp:127.0.0.1"],
    Privileged: false,
    CapDrop: ["ALL"],
    CapAdd: [],
    GroupAdd: [],
    Devices: [],
    DeviceRequests: [],
    SecurityOpt: ["no-new-privileges:true", `seccomp=${seccompText()}`],
    ReadonlyRootfs: true,
    Binds: [],
    Mounts: [],
    Tmpfs: {
      "/workspace": "rw,exec,nosuid,nodev,size=268435456,nr_inodes=32768,uid=1000,gid=1000,mode=0700",
      "/tmp": "rw,nosuid,nodev,size=67108864,nr_inodes=8192,mode=1777",
      "/run/sallyport": "rw,nosuid,nodev,size=1048576,nr_inodes=64,uid=1000,gid=1000,mode=0700",
      "/dev/shm": "rw,nosuid,nodev,size=8388608,nr_inodes=1024,mode=1777",
    },
    MaskedPaths: [
      "/etc/resolv.conf",
      "/proc/acpi",
      "/proc/asound",
      "/proc/interrupts",
      "/proc/kallsyms",
      "/proc/kcore",
      "/proc/keys",
      "/proc/kmsg",
      "/proc/latency_stats",
      "/proc/pressure",
      "/proc/sched_debug",
      "/proc/scsi",
      "/proc/timer_list",
      "/proc/timer_stats",
      "/sys/devices/virtual/powercap",
      "/sys/firmware",
      "/sys/kernel/debug",
      "/sys/kernel/security",
      "/sys/devices/system/cpu/cpu0/thermal_throttle",
      "/sys/devices/system/cpu/cpu1/thermal_throttle",
    ],
    ReadonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    IpcMode: "private",
    PidMode: "",
    UTSMode: "",
    UsernsMode: "",
    CgroupnsMode: "private",
    Init: false,
    AutoRemove: true,
    RestartPolicy: { Name: "no" },
    LogConfig: { Type: "none", Config: {} },
    Memory: 536_870_912,
    MemorySwap: 536_870_912,
    MemorySwappiness: 0,
    NanoCpus: 1_500_000_000,
    CpuShares: 512,
    PidsLimit: 128,
    ShmSize: 8_388_608,
    OomKillDisable: false,
    OomScoreAdj: 500,
    Ulimits: [
      { Name: "nofile", Soft: 1024, Hard: 1024 },
      { Name: "core", Soft: 0, Hard: 0 },
      { Name: "fsize", Soft: 268_435_456, Hard: 268_435_456 },
      { Name: "memlock", Soft: 0, Hard: 0 },
      { Name: "msgqueue", Soft: 0, Hard: 0 },
    ],
  },
};

test("the create body is the golden one, byte for byte", () => {
  assert.equal(JSON.stringify(createBody(spec, facts), null, 1), JSON.stringify(golden, null, 1));
});

test("devices are asked for only by a profile with GPUs", () => {
  const heavy = { ...profile, resources: { ...profile.resources, gpus: 2 } };
  const { HostConfig } = createBody({ ...spec, profile: heavy }, facts);
  assert.deepEqual(HostConfig?.DeviceRequests, [
    { Driver: "", Count: 2, DeviceIDs: [], Capabilities: [["gpu"]], Options: {} },
  ]);
});

test("a sandbox without hosts resolves no name", () => {
  assert.deepEqual(createBody({ ...spec, hosts: [] }, facts).HostConfig?.ExtraHosts, []);
});

test("gVisor's own threads and those of each process come on top of the processes a profile allows", () => {
  const pids = (runtime: "runc" | "runsc"): number | undefined =>
    createBody({ ...spec, profile: { ...spec.profile, runtime } }, facts).HostConfig?.PidsLimit;
  const allowed = spec.profile.resources.pids;
  assert.equal(pids("runc"), allowed);
  assert.ok((pids("runsc") ?? 0) >= 40 + 17 * allowed);
});
