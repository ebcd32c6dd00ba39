/** What the kernel and the host would tell is hidden; what they would let change is read-only or refused. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom, run } from "../helpers/escape.ts";

const skip = await requireEngine();

interface Seen {
  read: Record<string, string>;
  write: Record<string, string>;
  devices: string[];
}
const hidden = [
  ..."acpi asound interrupts kallsyms kcore keys kmsg latency_stats pressure sched_debug scsi timer_list timer_stats"
    .split(" ")
    .map((name) => `/proc/${name}`),
  ..."firmware kernel/debug kernel/security devices/virtual/powercap"
    .split(" ")
    .map((name) => `/sys/${name}`),
  "/sys/devices/system/cpu/cpu*/thermal_throttle",
  "/etc/resolv.conf",
  ..."mem kmsg kvm fuse loop0 loop-control vda sda nvme0n1 net/tun vsock vhost-net"
    .split(" ")
    .map((name) => `/dev/${name}`),
  "/var/run/docker.sock",
  "/run/docker.sock",
];
const fixed = [
  ..."kernel/core_pattern kernel/modprobe kernel/hotplug kernel/randomize_va_space vm/overcommit_memory vm/panic_on_oom"
    .split(" ")
    .map((name) => `/proc/sys/${name}`),
  "/proc/sys/fs/binfmt_misc/register",
  "/proc/sys/net/ipv4/ip_forward",
  "/proc/pressure/cpu",
  "/proc/pressure/io",
  "/proc/pressure/memory",
  "/proc/sysrq-trigger",
  "/proc/irq/default_smp_affinity",
  "/proc/1/oom_score_adj",
  "/sys/kernel/uevent_helper",
  "/sys/kernel/mm/transparent_hugepage/enabled",
  "/sys/power/state",
  "/sys/fs/cgroup/*/release_agent",
  "/sys/fs/cgroup/*/notify_on_release",
  "/sys/fs/cgroup/*/cgroup.procs",
  "/sys/fs/cgroup/*/tasks",
  "/sys/fs/cgroup/cgroup.procs",
  "/sys/fs/cgroup/*/devices.allow",
  "/sys/fs/cgroup/*/memory.limit_in_bytes",
  "/sys/fs/cgroup/memory.max",
  "/sys/fs/cgroup/*/pids.max",
  "/dev/mem",
  "/dev/kmsg",
];
const plan = JSON.stringify({ read: hidden, write: [...fixed, ...hidden] });
/** What every container has, and nothing that leads to the host */
const harmless =
  /^(console|core|fd|full|mqueue|null|ptmx|pts|random|shm|stderr|stdin|stdout|tty|urandom|zero)$/;

function shut({ read, write, devices }: Seen): void {
  for (const [path, answer] of Object.entries(read))
    assert.match(answer, /^(empty|ENOENT|EACCES|ENXIO|EPERM)$/, `read ${path}`);
  // a masked file is /dev/null: it opens, and what is written goes nowhere
  const nowhere = new Set(
    Object.entries(read)
      .filter(([, answer]) => answer === "empty")
      .map(([path]) => path),
  );
  for (const [path, answer] of Object.entries(write)) {
    if (answer === "opens" && nowhere.has(path)) continue;
    assert.match(answer, /^(ENOENT|EACCES|EROFS|EISDIR|EPERM|ENXIO)$/, `write ${path}`);
  }
  assert.deepEqual(
    devices.filter((name) => !harmless.test(name)),
    [],
  );
}

describe("masked paths", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  before(async () => {
    room = await EscapeRoom.open("masked-paths");
    sandbox = await room.create();
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("nothing of the kernel or the host can be read or opened for writing", async () => {
    shut(await attempt<Seen>(sandbox, attack("masked", plan)));
  });

  test("not even by root without capabilities", async () => {
    const body = room.sandboxBody((change) => (change.User = "0:0"));
    const seen = await attemptIn<Seen>(room, body, attack("masked", plan));
    // as root its own oom score may be raised, which kills nobody else
    delete seen.write["/proc/1/oom_score_adj"];
    shut(seen);
  });

  test("the kernel's log and the cgroup tree of the host are out of sight", async () => {
    const ran = await run(sandbox, [
      "sh",
      "-c",
      "dmesg; cat /proc/self/cgroup; ls /sys/fs/cgroup/memory/docker",
    ]);
    assert.doesNotMatch(ran.stdout, /Linux version|docker\/[0-9a-f]{64}/);
    assert.match(ran.stderr, /not permitted/);
  });

  test("control: without the masks the same look reads", async () => {
    const body = room.sandboxBody((change) => {
      change.User = "0:0";
      change.HostConfig.MaskedPaths = [];
      change.HostConfig.ReadonlyPaths = [];
    });
    const seen = await attemptIn<Seen>(room, body, attack("masked", plan));
    assert.throws(() => shut(seen), assert.AssertionError);
    assert.equal(seen.read["/etc/resolv.conf"], "read");
    assert.equal(seen.read["/proc/interrupts"], "read");
  });
});
