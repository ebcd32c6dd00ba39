"""Leaves a mark wherever something can be left, or looks for marks of another."""
import ctypes, errno, glob, json, os, socket, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
what, mark = sys.argv[1], sys.argv[2]
key = 0x5A11
folders = ["/workspace", "/tmp", "/var/tmp", "/run/sallyport", "/run", "/run/lock", "/dev/shm", "/dev/mqueue", "/etc", "/"]
abstract = "\0sallyport-mark"


def leave():
    left = []
    for folder in folders:
        try:
            with open(f"{folder}/{mark}", "w") as file:
                file.write(mark)
            left.append(folder)
        except OSError:
            pass
    segment = libc.shmget(key, 4096, 0o1666)
    if segment >= 0:
        ctypes.memmove(libc.shmat(segment, None, 0), mark.encode(), len(mark))
        left.append("shared memory")
    if libc.semget(key, 1, 0o1666) >= 0:
        left.append("semaphore")
    queue = libc.msgget(key, 0o1666)
    if queue >= 0 and libc.msgsnd(queue, struct.pack("l", 1) + mark.encode(), len(mark), 0o4000) == 0:
        left.append("message queue")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(abstract)
    listener.listen()
    left.append("abstract socket")
    tcp = socket.create_server(("127.0.0.1", 7777))
    left.append("loopback port")
    try:
        with open("/proc/self/comm", "w") as comm:
            comm.write(mark[:15])
        left.append("name")
    except OSError:
        pass
    print(json.dumps(left), flush=True)
    if len(sys.argv) > 3:
        time.sleep(float(sys.argv[3]))
    return listener, tcp


def find():
    found = []
    for folder in folders:
        for name in os.listdir(folder):
            if name.startswith("mark-"):
                found.append(f"{folder}/{name}")
    for name, kernel in (("shared memory", "shm"), ("semaphore", "sem"), ("message queue", "msg")):
        if len(open(f"/proc/sysvipc/{kernel}").read().splitlines()) > 1:
            found.append(name)
    if libc.shmget(key, 0, 0) >= 0 or libc.semget(key, 0, 0) >= 0 or libc.msgget(key, 0) >= 0:
        found.append("key")
    for name, address in (("abstract socket", abstract), ("loopback port", ("127.0.0.1", 7777))):
        try:
            with socket.socket(socket.AF_UNIX if name.startswith("abstract") else socket.AF_INET) as s:
                s.connect(address)
                found.append(name)
        except OSError:
            pass
    found += [line.split()[-1] for line in open("/proc/net/unix") if "sallyport-mark" in line]
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            if open(path).read().startswith("mark-"):
                found.append("process")
        except OSError:
            pass
    print(json.dumps(found))


if what == "leave":
    leave()
else:
    find()
