"""An interpreter started ahead of its job: imports what the profile names, then waits for the job.

Started as `python3 main.py` with this folder first on PYTHONPATH and SALLYPORT_WARM="NONCE MODULE…". Python imports
`sitecustomize` at the end of its own start, before it looks for its program, so whatever comes after this module is
Python's own way of running `main.py`: no frame, name or setting of ours is left for the job to see.

Says `NONCE ready CPU_MICROSECONDS NAME…` on stdout (NAME: what a file of the job would hide if it were imported before)
and `NONCE` on stderr, or `NONCE failed MODULE REASON` on stdout; everything before is noise of the imports. Then reads
one block from stdin, not a byte more: length u32 big endian, then NUL-separated program path, program text and
NAME=VALUE of the job's environment. With an empty path the program is already there.
"""

import gc
import os
import sys
import time


def restore_path():
    """As if this folder had never been on the path; an image's own sitecustomize then comes to its right."""
    folder = sys.path.pop(0)
    sys.path_importer_cache.pop(folder, None)
    rest = os.environ.pop("PYTHONPATH").partition(":")[2]
    if rest:
        os.environ["PYTHONPATH"] = rest
    del sys.modules["sitecustomize"]


def say(descriptor, text):
    # A line of its own, also behind noise that ended within a line.
    os.write(descriptor, ("\n" + text + "\n").encode("utf-8", "backslashreplace"))


def preload(nonce, modules):
    for module in modules:
        try:
            __import__(module)
        except BaseException as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            sys.stdout.flush()
            say(1, f"{nonce} failed {module} {reason[:500]}")
            os._exit(1)


def reseed():
    """An import may have seeded with a constant."""
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed()


def announce(nonce):
    sys.stdout.flush()
    sys.stderr.flush()
    names = {name.partition(".")[0] for name in sys.modules} - {"__main__", *sys.builtin_module_names}
    say(2, nonce)
    say(1, " ".join([nonce, "ready", str(time.process_time_ns() // 1000), *sorted(names)]))


def read_exactly(size):
    block = b""
    while len(block) < size:
        part = os.read(0, size - len(block))
        if not part:
            os._exit(0)
        block += part
    return block


def receive():
    path, program, *variables = read_exactly(int.from_bytes(read_exactly(4), "big")).split(b"\0")
    if path:
        write_program(path, program)
    for variable in variables:
        name, _, value = variable.partition(b"=")
        os.environb[name] = value


def write_program(path, program):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    while program:
        program = program[os.write(descriptor, program) :]
    os.close(descriptor)


def wait_for_job(order):
    nonce, *modules = order.split(" ")
    preload(nonce, modules)
    reseed()
    # What is loaded stays loaded: looking through it at every collection and once more at the end is work for nothing.
    gc.collect()
    gc.freeze()
    announce(nonce)
    receive()


order = os.environ.pop("SALLYPORT_WARM", None)
if order is None:
    raise ImportError("this interpreter is not waited for", name="sitecustomize")
restore_path()
own_failure = None
try:
    import sitecustomize
except Exception as error:
    own_failure = error
wait_for_job(order)
if own_failure is not None:
    # Python treats it as it would have treated the image's own; a missing one is none.
    raise own_failure
