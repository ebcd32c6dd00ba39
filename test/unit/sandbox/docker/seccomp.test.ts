import assert from "node:assert/strict";
import { test } from "node:test";
import { seccompText } from "../../../../src/sandbox/docker/seccomp.ts";

interface Rule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: string }[];
}
interface Filter {
  defaultAction: string;
  archMap: { architecture: string; subArchitectures: string[] }[];
  syscalls: Rule[];
}
const filter = JSON.parse(seccompText()) as Filter;
const rulesFor = (name: string): Rule[] => filter.syscalls.filter(({ names }) => names.includes(name));

test("what is not named is refused, on native architectures only", () => {
  assert.equal(filter.defaultAction, "SCMP_ACT_ERRNO");
  assert.deepEqual(
    filter.archMap.map(({ architecture, subArchitectures }) => [architecture, subArchitectures]),
    [
      ["SCMP_ARCH_X86_64", []],
      ["SCMP_ARCH_AARCH64", []],
    ],
  );
});

test("no call that widens the way to the kernel is named", () => {
  const refused = [
    ..."io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key bpf userfaultfd".split(
      " ",
    ),
    ..."perf_event_open unshare setns mount umount2 fsopen fsmount move_mount open_tree pivot_root chroot".split(
      " ",
    ),
    ..."ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp open_by_handle_at".split(
      " ",
    ),
    ..."init_module finit_module delete_module kexec_load kexec_file_load socketcall modify_ldt".split(" "),
    ..."memfd_secret remap_file_pages swapon reboot syslog acct quotactl fanotify_init lookup_dcookie sync syncfs io_setup".split(
      " ",
    ),
  ];
  assert.deepEqual(
    refused.filter((name) => rulesFor(name).length > 0),
    [],
  );
});

test("sockets are of four families, netlink with the route protocol alone", () => {
  const allowed = rulesFor("socket").map(({ args = [] }) =>
    args.map(({ index, value, op }) => [index, value, op]),
  );
  assert.deepEqual(allowed, [
    [[0, 1, "SCMP_CMP_EQ"]],
    [[0, 2, "SCMP_CMP_EQ"]],
    [[0, 10, "SCMP_CMP_EQ"]],
    [
      [0, 16, "SCMP_CMP_EQ"],
      [2, 0, "SCMP_CMP_EQ"],
    ],
  ]);
});

test("clone makes no namespace and clone3 sends libc to clone", () => {
  const namespaces = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000;
  const [clone] = rulesFor("clone");
  assert.deepEqual(clone?.args, [{ index: 0, value: namespaces, op: "SCMP_CMP_MASKED_EQ", valueTwo: 0 }]);
  assert.deepEqual(
    rulesFor("clone3").map(({ action, errnoRet }) => [action, errnoRet]),
    [["SCMP_ACT_ERRNO", 38]],
  );
});

test("a conditional call is not allowed again without its condition", () => {
  const conditional =
    "socket socketpair clone clone3 personality prlimit64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler setpriority";
  for (const name of conditional.split(" ")) {
    const bare = rulesFor(name).filter(
      ({ args, action }) => args === undefined && action === "SCMP_ACT_ALLOW",
    );
    assert.deepEqual(bare, [], name);
  }
});

/** Whether a rule lets this call pass, whose conditions are all masked ones. */
function passes(name: string, ...args: bigint[]): boolean {
  return rulesFor(name).some((rule) =>
    (rule.args ?? []).every(({ index, value, valueTwo, op }) => {
      assert.equal(op, "SCMP_CMP_MASKED_EQ");
      return ((args[index] ?? 0n) & BigInt(value)) === BigInt(valueTwo ?? 0);
    }),
  );
}

/** The kernel drops the upper half */
const guest = [1n, 2n ** 32n + 1n, 2n ** 63n + 1n];
const others = [0n, 2n, 3n, 5n, 1024n, 1025n, 32_767n, 2n ** 22n - 1n, 2n ** 21n + 1n];

test("the place of any process among those that wait for a processor can be changed, but for PID 1", () => {
  for (const name of ["sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"]) {
    assert.deepEqual(
      [...guest, ...others].filter((pid) => passes(name, pid)),
      others,
      name,
    );
  }
});

test("priorities are set by process or group, which PID 1 is not, and not by user, whom it shares", () => {
  const [byProcess, byGroup, byUser] = [0n, 1n, 2n];
  for (const which of [byProcess, byGroup]) {
    const passed = [...guest, ...others].filter((who) => passes("setpriority", which, who));
    assert.deepEqual(passed, others);
  }
  assert.ok(![0n, 1000n].some((who) => passes("setpriority", byUser, who)));
  assert.ok(!passes("setpriority", 2n ** 32n + byUser, 1000n));
});
