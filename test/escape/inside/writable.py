"""Finds every place that takes a file, by trying, and what is mounted where."""
import errno, json, os

places, refused = [], {}
for folder, names, _ in os.walk("/"):
    if folder == "/proc":
        # processes come and go; one's own and the kernel's settings are enough
        names[:] = [name for name in names if not name.isdigit()] + ["self"]
    if folder.count("/") > 14:
        names[:] = []
    path = os.path.join(folder, ".escape-mark")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
        os.unlink(path)
        places.append(folder)
    except OSError as error:
        name = errno.errorcode[error.errno]
        refused[name] = refused.get(name, 0) + 1

files = []
for folder, names, entries in os.walk("/"):
    if folder in ("/proc", "/workspace", "/tmp"):
        names[:] = []
    for entry in entries:
        path = os.path.join(folder, entry)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        try:
            os.close(os.open(path, os.O_WRONLY))
            files.append(path)
        except OSError:
            pass

mounts = []
for line in open("/proc/self/mountinfo"):
    before, after = line.split(" - ")
    _, _, _, root, point, options = before.split()[:6]
    mounts.append({"point": point, "root": root, "type": after.split()[0], "options": options.split(",")})


def outcome(go):
    try:
        go()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def overwrite(path):
    return lambda: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))


print(
    json.dumps(
        {
            "places": places,
            "files": files,
            "refused": refused,
            "mounts": mounts,
            "tries": {
                **{f"overwrite {path}": outcome(overwrite(path)) for path in
                   ["/bin/sh", "/etc/passwd", "/etc/hosts", "/etc/hostname", "/sallyport/guest"]},
                "unlink": outcome(lambda: os.unlink("/etc/passwd")),
                "rename": outcome(lambda: os.rename("/etc", "/etc2")),
                "mkdir": outcome(lambda: os.mkdir("/var/tmp/x")),
                "link into": outcome(lambda: os.link("/etc/passwd", "/workspace/passwd")),
                "chmod": outcome(lambda: os.chmod("/", 0o777)),
            },
        }
    )
)
