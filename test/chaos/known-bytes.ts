/** What a job prints: a stream that differs for every seed and position, so that a loss, a repetition or a swap shows. */

/** Bytes `[from, from + length)` of the stream of `seed`. */
export function knownBytes(seed: number, from: number, length: number): Uint8Array {
  const first = Math.floor(from / 4);
  const words = new Uint32Array(Math.ceil((from + length) / 4) - first);
  for (let at = 0; at < words.length; at += 1) words[at] = word(seed, first + at);
  const skip = from - first * 4;
  return new Uint8Array(words.buffer).subarray(skip, skip + length);
}

/** Position of the first byte that is not the stream's; -1 when `bytes` are its bytes from `from` on. */
export function firstDifference(seed: number, from: number, bytes: Uint8Array): number {
  const expected = knownBytes(seed, from, bytes.length);
  if (Buffer.compare(expected, bytes) === 0) return -1;
  return from + bytes.findIndex((byte, at) => byte !== expected[at]);
}

/** The seed of what the same job prints on stderr */
export function stderrSeed(seed: number): number {
  return (seed ^ 0x5bd1e995) >>> 0;
}

function word(seed: number, at: number): number {
  let mixed = (Math.imul(at, 0x9e3779b1) ^ seed) >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
