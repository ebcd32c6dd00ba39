"""Fills every writable folder with bytes and with files, by every way there is."""
import ctypes, errno, json, os, signal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
libc = ctypes.CDLL(None, use_errno=True)
folders = ["/workspace", "/tmp", "/run/sallyport", "/dev/shm", "/dev/mqueue"]
bound = 2 ** 30
chunk = b"x" * 2 ** 20


def name_of(error):
    return errno.errorcode.get(error.errno, str(error))


def write(folder):
    """Bytes over several files, so that no file's own limit decides."""
    total, refused, paths = 0, "unlimited", []
    try:
        while total < bound:
            paths.append(f"{folder}/bytes-{len(paths)}")
            with open(paths[-1], "wb", 0) as file:
                for _ in range(8):
                    wrote = file.write(chunk)
                    total += wrote
    except OSError as error:
        refused = name_of(error)
    return total, refused, paths


def deleted(folder):
    """The same with files that have no name any more."""
    total, refused, kept = 0, "unlimited", []
    try:
        while total < bound:
            fd = os.open(f"{folder}/gone", os.O_CREAT | os.O_WRONLY, 0o600)
            kept.append(fd)
            os.unlink(f"{folder}/gone")
            for _ in range(8):
                total += os.write(fd, chunk)
    except OSError as error:
        refused = name_of(error)
    for fd in kept:
        os.close(fd)
    return total, refused, []


def allocate(folder):
    total, refused, kept = 0, "unlimited", []
    fd = os.open(f"{folder}/allocated", os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        while total < bound:
            os.posix_fallocate(fd, total, len(chunk))
            total += len(chunk)
    except OSError as error:
        refused = name_of(error)
    os.close(fd)
    return total, refused, [f"{folder}/allocated"]


def sparse(folder):
    path = f"{folder}/sparse"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.ftruncate(fd, 2 ** 40)
        told = "ok"
    except OSError as error:
        told = name_of(error)
    used = os.fstat(fd).st_blocks * 512
    os.close(fd)
    return used, told, [path]


def inodes(folder):
    count, refused, paths = 0, "unlimited", []
    try:
        while count < 200_000:
            path = f"{folder}/{'n' * 200}{count}"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            paths.append(path)
            count += 1
    except OSError as error:
        refused = name_of(error)
    return count, refused, paths


def deep(folder):
    count, refused = 0, "unlimited"
    os.chdir(folder)
    try:
        while count < 200_000:
            os.mkdir("d")
            os.chdir("d")
            count += 1
    except OSError as error:
        refused = name_of(error)
    # back up, emptying on the way
    for _ in range(count):
        os.chdir("..")
        os.rmdir("d")
    os.chdir("/")
    return count, refused, []


result = {}
for folder in folders:
    told = {}
    for way in (write, deleted, allocate, sparse, inodes, deep):
        try:
            amount, refused, paths = way(folder)
        except OSError as error:
            amount, refused, paths = 0, name_of(error), []
        told[way.__name__] = [amount, refused]
        for path in paths:
            try:
                os.unlink(path)
            except OSError:
                pass
    result[folder] = told
print(json.dumps(result))
