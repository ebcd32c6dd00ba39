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
elif sys.argv[1] == "place":
    idle = os.sched_param(0)
    attributes = (ctypes.c_uint32 * 12)(48, 5)
    ways = {
        "setpriority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "sched_setscheduler": lambda pid: os.sched_setscheduler(pid, os.SCHED_IDLE, idle),
        "sched_setparam": lambda pid: os.sched_setparam(pid, idle),
        "sched_setaffinity": lambda pid: os.sched_setaffinity(pid, os.sched_getaffinity(0)),
        "sched_setattr": lambda pid: libc.syscall(274 if os.uname().machine == "aarch64" else 314, pid, attributes, 0),
    }
    child = os.fork()
    if child == 0:
        signal.pause()
    told = {name: [outcome(lambda: way(1)), outcome(lambda: way(child)), outcome(lambda: way(0))] for name, way in ways.items()}
    told["setpriority of the user"] = [outcome(lambda: os.setpriority(os.PRIO_USER, 1000, 19)), "ok", "ok"]
    os.kill(child, signal.SIGKILL)
else:
    limits = {name: getattr(resource, f"RLIMIT_{name}") for name in
              ["CPU", "NOFILE", "AS", "DATA", "STACK", "FSIZE", "NPROC", "SIGPENDING", "RTTIME"]}
    told = {name: outcome(lambda w=which: resource.prlimit(1, w, (1, 1)) and 0) for name, which in limits.items()}
print(json.dumps(told))
