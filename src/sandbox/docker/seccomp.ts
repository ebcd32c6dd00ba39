/**
 * The system calls a sandbox may make, as the engine wants them: an allowlist, everything else is EPERM.
 *
 * Left out on purpose, although engines allow some of them by default: io_uring, keyctl and the key ring, bpf,
 * userfaultfd, perf, ptrace and the process_vm calls, every namespace and mount call, open_by_handle_at, modules,
 * kexec, memfd_secret, modify_ldt, remap_file_pages; sync and syncfs, which write out every file system of the host;
 * io_setup, whose contexts are counted for the whole host. Limits can be set for the caller alone, a place among those that
 * wait for a processor for everybody but PID 1. Sockets are AF_UNIX, AF_INET, AF_INET6 and NETLINK_ROUTE (libc
 * and Node list interfaces through it; the namespace holds nothing but `lo`). Only the native architecture is there:
 * 32-bit programs, whose socketcall hides the family from an argument filter, die of SIGSYS.
 *
 * The format is that of https://github.com/moby/profiles; it travels as JSON text in the create call.
 */
import profile from "./seccomp.json" with { type: "json" };

interface Condition {
  index: number;
  op: string;
  value: number;
  valueTwo: number;
}

/** The kernel looks at the lower half of a process id, and none is larger than this many bits */
const pidBits = 22;

const bits = (index: number, mask: number, value: number): Condition => ({
  index,
  op: "SCMP_CMP_MASKED_EQ",
  value: mask,
  valueTwo: value,
});

/** Conditions of which one holds for every process but PID 1: its id is even, or has a bit above the lowest. */
function notTheGuest(index: number): Condition[] {
  const above = Array.from({ length: pidBits - 1 }, (_, at) => 2 ** (at + 1));
  return [bits(index, 1, 0), ...above.map((bit) => bits(index, bit, bit))];
}

/** PID 1 has the user of the job: an idle one among many that are busy would end neither them nor itself. */
function schedulingRules(): object[] {
  const names = ["sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"];
  const byId = notTheGuest(0).map((condition) => ({ names, args: [condition] }));
  // of a process or a group of them; of a user would be everybody
  const notOfAUser = bits(0, 0xfffffffe, 0);
  const nice = notTheGuest(1).map((condition) => ({ names: ["setpriority"], args: [notOfAUser, condition] }));
  return [...byId, ...nice].map((rule) => ({ ...rule, action: "SCMP_ACT_ALLOW" }));
}

/** The profile as compact text, without the comments that are for readers. */
export function seccompText(): string {
  const whole = { ...profile, syscalls: [...profile.syscalls, ...schedulingRules()] };
  return JSON.stringify(whole, (key, value: unknown) => (key === "comment" ? undefined : value));
}
