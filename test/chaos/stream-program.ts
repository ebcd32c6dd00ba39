/** The one program of all jobs: it prints `bytes` of the stream of `seed` over `ms` and exits with `code`. */
import type { JobPlan } from "./history.ts";

/** On the witness driver, which is the program itself */
export function streamCommand({ seed, bytes, ms, exitCode }: JobPlan): string[] {
  return ["stream", ...[seed, bytes, ms, exitCode].map(String)];
}

/** In a container: the same words and the same blocks as `known-bytes.ts` and the witness driver have them */
const source = `
import sys, time
from struct import pack

seed, size, ms, code = map(int, sys.argv[1:])
block_bytes = 8192

def word(seed, at):
    mixed = (at * 0x9e3779b1 ^ seed) & 0xffffffff
    mixed = (mixed ^ mixed >> 15) * 0x85ebca6b & 0xffffffff
    return mixed ^ mixed >> 13

def show(stream, seed, start, length):
    first = start // 4
    words = [word(seed, at) for at in range(first, (start + length + 3) // 4)]
    stream.buffer.write(pack("<%dI" % len(words), *words)[start - first * 4:][:length])
    stream.buffer.flush()

blocks = max(1, -(-size // block_bytes))
for block in range(blocks):
    start = block * block_bytes
    length = min(block_bytes, size - start)
    show(sys.stdout, seed, start, length)
    show(sys.stderr, seed ^ 0x5bd1e995, block * block_bytes // 4, length // 4)
    time.sleep(ms / blocks / 1000)
sys.exit(code)
`;

export function pythonCommand(plan: JobPlan): string[] {
  return ["python3", "-S", "-c", source, ...streamCommand(plan).slice(1)];
}
