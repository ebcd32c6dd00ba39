"""Tries to read, write and follow PID 1, and to pass for it."""
import ctypes, errno, json, os, socket, struct, sys

libc = ctypes.CDLL(None, use_errno=True)


def outcome(go):
    try:
        go()
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def libc_outcome(*arguments):
    return "ok" if libc.syscall(*arguments) >= 0 else errno.errorcode[ctypes.get_errno()]


def opened(path, flags):
    return lambda: os.close(os.open(path, flags))


told = {}
for fd in range(8):
    told[f"read fd {fd}"] = outcome(opened(f"/proc/1/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK))
    told[f"write fd {fd}"] = outcome(opened(f"/proc/1/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK))
told["list fd"] = outcome(lambda: os.listdir("/proc/1/fd"))
told["list task fd"] = outcome(lambda: os.listdir("/proc/1/task/1/fd"))
told["list fdinfo"] = outcome(lambda: os.listdir("/proc/1/fdinfo"))
told["list map_files"] = outcome(lambda: os.listdir("/proc/1/map_files"))
for name in ("mem", "environ", "maps", "auxv", "stack", "syscall", "pagemap", "io", "personality"):
    told[f"read {name}"] = outcome(lambda n=name: open(f"/proc/1/{n}", "rb").read(64))
for name in ("mem", "clear_refs", "comm", "oom_score_adj", "timerslack_ns", "coredump_filter", "attr/current"):
    told[f"write {name}"] = outcome(lambda n=name: os.write(os.open(f"/proc/1/{n}", os.O_WRONLY), b"1"))
for name in ("exe", "cwd", "root", "ns/net"):
    told[f"follow {name}"] = outcome(lambda n=name: os.readlink(f"/proc/1/{n}"))
told["enter root"] = outcome(lambda: os.listdir("/proc/1/root/"))
told["enter cwd"] = outcome(lambda: os.listdir("/proc/1/cwd/"))
told["ptrace"] = libc_outcome(101, 16, 1, 0, 0)
told["process_vm_readv"] = libc_outcome(310, 1, 0, 0, 0, 0, 0)
told["pidfd_getfd"] = libc_outcome(438, os.pidfd_open(1), 0, 0)
told["open guest"] = outcome(opened("/sallyport/guest", os.O_WRONLY))
cmdline = open("/proc/1/cmdline", "rb").read().decode()
mine = sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/self/fd")
              if os.path.exists(f"/proc/self/fd/{fd}"))
print(json.dumps({"tries": told, "cmdline": cmdline, "mine": mine, "env": dict(os.environ)}))
