import type { LogPlace } from "../../protocol/index.ts";
import type { LogChunk } from "../../store/index.ts";

/** bytes of committed log kept for readers that are nearly up to date, so they need not ask the store */
const keptBytes = 256 * 2 ** 10;

/** Parts below this share a block: what is printed byte by byte costs little more than its bytes. */
const smallBytes = 1 * 2 ** 10;
const blockBytes = 16 * 2 ** 10;

/** Whole records between two places of a log. */
export interface LogPart {
  before: LogPlace;
  after: LogPlace;
  bytes: Uint8Array;
}

/**
 * The end of one attempt's log in memory: what is not committed yet, which the channel's window bounds, and a little of what is.
 */
export class LogTail {
  readonly attempt: number;
  readonly #chunks: LogChunk[] = [];
  /** the last chunk is the used part of it, while small parts are still added */
  #block: Buffer | undefined;
  #place: LogPlace;
  #durable: number;

  constructor(attempt: number, place: LogPlace) {
    this.attempt = attempt;
    this.#place = { ...place };
    this.#durable = place.position;
  }

  /** behind the last byte */
  get place(): Readonly<LogPlace> {
    return this.#place;
  }

  /** position of the first byte that is still here */
  get from(): number {
    return this.#chunks[0]?.from ?? this.#place.position;
  }

  /** Adds whole records that end at `after`; what is here already is skipped, a gap is not taken (false). */
  append(part: LogPart): boolean {
    const { before, after } = part;
    if (before.position > this.#place.position) return false;
    if (after.position <= this.#place.position) return true;
    if (!this.#extendLast(part)) this.#addChunk(part);
    this.#place = { ...after };
    return true;
  }

  #extendLast({ bytes, before, after }: LogPart): boolean {
    const last = this.#chunks.at(-1);
    const block = this.#block;
    if (last === undefined || block === undefined || last.to !== before.position) return false;
    const used = last.bytes.length + bytes.length;
    if (bytes.length >= smallBytes || used > blockBytes) return false;
    block.set(bytes, last.bytes.length);
    this.#chunks[this.#chunks.length - 1] = { ...last, to: after.position, bytes: block.subarray(0, used) };
    return true;
  }

  #addChunk({ bytes, before, after }: LogPart): void {
    const begins = bytes.length < smallBytes && this.#chunks.length > 0;
    this.#block = begins ? Buffer.allocUnsafeSlow(blockBytes) : undefined;
    this.#block?.set(bytes);
    this.#chunks.push({
      attempt: this.attempt,
      from: before.position,
      to: after.position,
      bytes: this.#block?.subarray(0, bytes.length) ?? bytes,
      stdoutBefore: before.stdoutBytes,
      stderrBefore: before.stderrBytes,
    });
  }

  /** `to`: the durable end. Lets go of what is committed, but for a little while somebody reads. */
  committed(to: number, readers: number): void {
    this.#durable = Math.max(this.#durable, to);
    const keepFrom = readers === 0 ? this.#durable : this.#place.position - keptBytes;
    const gone = this.#chunks.findIndex((chunk) => chunk.to > this.#durable || chunk.to > keepFrom);
    this.#chunks.splice(0, gone === -1 ? this.#chunks.length : gone);
  }

  /** Chunks that cover the log from `from` on, at least one and then at most about `maxBytes`. */
  read(from: number, maxBytes: number): LogChunk[] {
    const start = this.#chunks.findIndex((chunk) => chunk.to > from);
    if (start === -1) return [];
    let bytes = 0;
    let end = start;
    for (; end < this.#chunks.length && (end === start || bytes < maxBytes); end += 1) {
      bytes += this.#chunks[end]?.bytes.length ?? 0;
    }
    return this.#chunks.slice(start, end);
  }
}
