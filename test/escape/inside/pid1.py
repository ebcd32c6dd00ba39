"""Tries to end, stop or cripple the guest, and its pipes, from a process of the job."""
import ctypes, errno, json, os, resource, signal, socket, sys

libc = ctypes.CDLL(None, use_errno=True)


def outcome(go):
    try:
        result = go()
        return "ok" if result is None or not isinstance(result, int) or result >= 0 else errno.errorcode[ctypes.get_errno()]
    except OSError as error:
        return errno.errorcode[error.errno]
    except ValueError:
        return "EPERM"


def shoot(number):
    return outcome(lambda: os.kill(1, number))


def by_descriptor():
    signal.pidfd_send_signal(os.pidfd_open(1), signal.SIGKILL)


def queue(number):
    info = (ctypes.c_int * 32)(number, 0, -1, 0, os.getpid(), os.getuid())
    return libc.syscall(129, 1, number, info)


if sys.argv[1] == "signals":
    told = {signal.Signals(number).name: shoot(number) for number in range(1, 32)}
    told |= {f"RT{number}": shoot(number) for number in (32, 33, 34, 40, 64)}
    told["pidfd"] = outcome(by_descriptor)
    told["sigqueue"] = outcome(lambda: queue(9))
    told["tgkill"] = outcome(lambda: libc.syscall(234, 1, 1, 9))
elif sys.argv[1] == "everybody":
    # this process is not meant by -1 itself
    told = {name: outcome(lambda n=number: os.kill(-1, n)) for name, number in
            {"SIGTERM": 15, "SIGSTOP": 19, "SIGHUP": 1, "SIGKILL": 9}.items()}
else:
    limits = {name: getattr(resource, f"RLIMIT_{name}") for name in
              ["CPU", "NOFILE", "AS", "DATA", "STACK", "FSIZE", "NPROC", "SIGPENDING", "RTTIME"]}
    told = {name: outcome(lambda w=which: resource.prlimit(1, w, (1, 1)) and 0) for name, which in limits.items()}
print(json.dumps(told))
