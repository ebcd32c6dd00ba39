/** The part of one exec's log that the hub has not confirmed yet: in memory, then on disk, never more than its bound. */
import { Notifier } from "../async/index.ts";
import { limits } from "../protocol/index.ts";
import type { Log } from "../log.ts";
import type { WorkerOptions } from "./contract.ts";
import { SpoolFile, type FileRange } from "./spool-file.ts";

export interface SpoolOptions {
  memoryBytes: number;
  /** memory and disk together */
  totalBytes: number;
  directory: string;
}

const defaultBytes = 64 * 2 ** 20;
const defaultMemoryBytes = 2 * limits.streamWindow;

export function spoolOptions(
  options: Pick<WorkerOptions, "spoolBytes" | "spoolMemoryBytes" | "spoolDir">,
): SpoolOptions {
  const totalBytes = options.spoolBytes ?? defaultBytes;
  const memoryBytes = Math.min(options.spoolMemoryBytes ?? defaultMemoryBytes, totalBytes);
  return { totalBytes, memoryBytes, directory: options.spoolDir };
}

/** Records below this share a block, so that a chatty program costs neither memory nor frames per line. */
const smallBytes = 4 * 2 ** 10;
const blockBytes = 16 * 2 ** 10;

interface Segment {
  from: number;
  to: number;
  content: Uint8Array | FileRange;
}

/**
 * Holds the log from `from` (confirmed) to `to` (printed). While somebody reads it, memory is the whole spool and a slow hub
 * stops the program early; while nobody does (`detached`), it goes on to disk. When both are full, `append` waits, and with it
 * the guest's credit and the program. Nothing is dropped.
 */
export class Spool implements AsyncDisposable {
  readonly #deps: { log: Log };
  readonly #options: SpoolOptions;
  readonly #file: SpoolFile;
  readonly #freed = new Notifier();
  #segments: Segment[] = [];
  /** The last segment's memory, while it has room */
  #block: { segment: Segment; bytes: Uint8Array } | undefined;
  #memoryUsed = 0;
  #from = 0;
  #to = 0;
  #ended = false;
  #detached = true;
  #waiting = false;
  #diskFailed = false;
  #onGrowth: () => void = () => undefined;

  constructor(deps: { log: Log }, options: SpoolOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#file = new SpoolFile(options.directory, Math.max(0, options.totalBytes - options.memoryBytes));
  }

  /** Position up to which everything is confirmed */
  get from(): number {
    return this.#from;
  }

  /** Position behind the last byte */
  get to(): number {
    return this.#to;
  }

  /** No more will be appended */
  get ended(): boolean {
    return this.#ended;
  }

  /** An `append` waits for room */
  get full(): boolean {
    return this.#waiting;
  }

  /** Called in the same turn when something was appended, or the end was. One listener. */
  onGrowth(listener: () => void): void {
    this.#onGrowth = listener;
  }

  set detached(detached: boolean) {
    this.#detached = detached;
    if (detached) this.#freed.notify();
  }

  /** Takes `bytes` at once and returns nothing, or resolves once there was room. One call at a time; rejects with the signal's reason. */
  append(bytes: Uint8Array, signal?: AbortSignal): Promise<void> | undefined {
    if (!this.#fitsMemory(bytes.length)) return this.#appendLater(bytes, signal);
    this.#push(bytes.length, bytes);
    return undefined;
  }

  end(): void {
    this.#ended = true;
    this.#onGrowth();
  }

  /** At most `maxBytes` from position `at` on, which lies in `[from, to)`; at once when they are in memory. */
  read(at: number, maxBytes: number): Uint8Array | Promise<Uint8Array> {
    const segment = this.#segments.find((candidate) => at < candidate.to);
    if (segment === undefined) return new Uint8Array(0);
    const skip = at - segment.from;
    const length = Math.min(maxBytes, segment.to - at);
    const { content } = segment;
    if (content instanceof Uint8Array) return content.subarray(skip, skip + length);
    return this.#file.read({ from: content.from + skip, to: content.from + skip + length });
  }

  /** Everything before `position` is safe at the hub. */
  confirm(position: number): void {
    if (position <= this.#from) return;
    this.#from = Math.min(position, this.#to);
    const keep = this.#segments.findIndex((segment) => segment.to > this.#from);
    const gone = this.#segments.splice(0, keep < 0 ? this.#segments.length : keep);
    for (const { content } of gone) {
      if (content instanceof Uint8Array) this.#memoryUsed -= content.length;
      else this.#file.free(content.to);
    }
    if (gone.length > 0) this.#freed.notify();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#segments = [];
    this.#memoryUsed = 0;
    await this.#file[Symbol.asyncDispose]();
  }

  /** One record larger than all of memory still passes once nothing else is there. */
  #fitsMemory(bytes: number): boolean {
    return this.#memoryUsed === 0 || this.#memoryUsed + bytes <= this.#options.memoryBytes;
  }

  async #appendLater(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    try {
      while (!this.#fitsMemory(bytes.length)) {
        const freed = this.#freed.wait(signal);
        freed.catch(() => undefined);
        const range = await this.#toDisk(bytes);
        if (range !== undefined) {
          this.#push(bytes.length, range);
          return;
        }
        this.#waiting = true;
        await freed;
      }
    } finally {
      this.#waiting = false;
    }
    this.#push(bytes.length, bytes);
  }

  /** A disk that takes nothing makes the spool smaller, not lossy: the program waits instead. */
  async #toDisk(bytes: Uint8Array): Promise<FileRange | undefined> {
    if (!this.#detached || !this.#file.has(bytes.length)) return undefined;
    try {
      const range = await this.#file.write(bytes);
      this.#diskFailed = false;
      return range;
    } catch (error) {
      if (!this.#diskFailed) this.#deps.log.warn({ err: error }, "output cannot be spooled to disk");
      this.#diskFailed = true;
      return undefined;
    }
  }

  #push(length: number, content: Segment["content"]): void {
    if (!(content instanceof Uint8Array)) this.#addSegment(length, content);
    else if (length < smallBytes) this.#addSmall(content);
    else this.#addSegment(length, content);
    this.#to += length;
    if (content instanceof Uint8Array) this.#memoryUsed += length;
    this.#onGrowth();
  }

  #addSegment(length: number, content: Segment["content"]): Segment {
    const segment = { from: this.#to, to: this.#to + length, content };
    this.#segments.push(segment);
    return segment;
  }

  #addSmall(bytes: Uint8Array): void {
    const block = this.#block;
    const used = this.#segments.at(-1);
    if (block === undefined || used !== block.segment || used.to - used.from + bytes.length > blockBytes) {
      const memory = new Uint8Array(blockBytes);
      memory.set(bytes);
      this.#block = {
        segment: this.#addSegment(bytes.length, memory.subarray(0, bytes.length)),
        bytes: memory,
      };
      return;
    }
    const length = used.to - used.from;
    block.bytes.set(bytes, length);
    used.to += bytes.length;
    used.content = block.bytes.subarray(0, length + bytes.length);
  }
}
