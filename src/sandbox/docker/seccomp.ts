/**
 * The system calls a sandbox may make, as the engine wants them: an allowlist, everything else is EPERM.
 *
 * Left out on purpose, although engines allow some of them by default: io_uring, keyctl and the key ring, bpf,
 * userfaultfd, perf, ptrace and the process_vm calls, every namespace and mount call, open_by_handle_at, modules,
 * kexec, memfd_secret, modify_ldt, remap_file_pages; sync and syncfs, which write out every file system of the host;
 * io_setup, whose contexts are counted for the whole host. Limits can be set for the caller alone. Sockets are AF_UNIX, AF_INET, AF_INET6 and NETLINK_ROUTE (libc
 * and Node list interfaces through it; the namespace holds nothing but `lo`). Only the native architecture is there:
 * 32-bit programs, whose socketcall hides the family from an argument filter, die of SIGSYS.
 *
 * The format is that of https://github.com/moby/profiles; it travels as JSON text in the create call.
 */
import profile from "./seccomp.json" with { type: "json" };

/** The profile as compact text, without the comments that are for readers. */
export function seccompText(): string {
  return JSON.stringify(profile, (key, value: unknown) => (key === "comment" ? undefined : value));
}
