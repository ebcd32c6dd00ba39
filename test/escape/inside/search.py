"""Looks for words, given in base64, wherever a program in a sandbox can look; tells which word was found where."""
import base64, json, os, sys

words = [base64.b64decode(word) for word in json.loads(sys.argv[1])]
limit = 1 << 22
found = []


def look(place, data):
    found.extend({"word": at, "place": place} for at, word in enumerate(words) if word in data)


def read(path):
    try:
        # no fifo holds this up
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    with os.fdopen(fd, "rb") as file:
        try:
            look(path, file.read(limit))
        except OSError:
            pass


for name, value in os.environb.items():
    look("env", name + b"=" + value)
for top in ("/workspace", "/tmp", "/run", "/dev/shm", "/etc", "/home", "/var", "/usr/local"):
    for folder, _, names in os.walk(top):
        for name in names:
            read(os.path.join(folder, name))
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline", "maps", "mountinfo"):
        read(f"/proc/{pid}/{name}")
print(json.dumps(found))
