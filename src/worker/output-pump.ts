import { abortable } from "../async/index.ts";
import { encodeRecord, eventRecord, maxRecordBytes, type LogEvent } from "../protocol/index.ts";
import type { Exec, OutputChunk } from "../sandbox/index.ts";
import type { Spool } from "./spool.ts";

export interface PumpOptions {
  /** bytes of stdout and stderr together */
  limit: number;
  /** Called once, with the first byte above the limit */
  onLimit: () => void;
}

/** how long an event of the network waits for others, to share a frame and the hub's commit with them, `ms` */
const gatherMs = 50;
/** bytes of such events that are enough for a frame */
const gatherBytes = 16 * 2 ** 10;

/**
 * Turns what a program prints into log records, up to an exact number of bytes; what comes after that is read and thrown away, so
 * that the program can end.
 */
export class OutputPump {
  readonly #spool: Spool;
  readonly #options: PumpOptions;
  readonly #abandoned = new AbortController();
  readonly #counts = { stdout: 0, stderr: 0 };
  #truncated = false;
  /** the append that waits for room, and with it all that come after it */
  #pending: Promise<void> | undefined;
  #done: Promise<void> = Promise.resolve();
  /** noted and not in the spool yet */
  #noted = { records: [] as Uint8Array[], bytes: 0 };
  #gathering: NodeJS.Timeout | undefined;

  constructor(deps: { spool: Spool }, options: PumpOptions) {
    this.#spool = deps.spool;
    this.#options = options;
  }

  get counts(): { stdoutBytes: number; stderrBytes: number; truncated: boolean } {
    return {
      stdoutBytes: this.#counts.stdout,
      stderrBytes: this.#counts.stderr,
      truncated: this.#truncated,
    };
  }

  /** bytes kept so far */
  get total(): number {
    return this.#counts.stdout + this.#counts.stderr;
  }

  /** The hub is slower than the program, which waits */
  get blocked(): boolean {
    return this.#spool.full;
  }

  /** Resolves when the output has ended, whatever ended it. */
  get done(): Promise<void> {
    return this.#done;
  }

  /** Writes the log's first record and starts reading. */
  start(exec: Exec, at: number): void {
    const started = this.#push(encodeRecord(eventRecord(at, { event: "started" })));
    this.#done = this.#read(exec, started);
  }

  /** Puts an event between what is printed, soon. */
  note(event: LogEvent): void {
    const record = encodeRecord(eventRecord(Date.now(), event));
    this.#noted.records.push(record);
    this.#noted.bytes += record.length;
    if (this.#noted.bytes >= gatherBytes) this.#keepNoted();
    else this.#gathering ??= setTimeout(() => this.#keepNoted(), gatherMs);
  }

  /** Resolves when all that was noted is kept, or nothing more will be. */
  async noted(): Promise<void> {
    this.#keepNoted();
    await this.#pending?.catch(() => undefined);
  }

  /** Keeps nothing more, and waits for nothing more. */
  abandon(): void {
    this.#abandoned.abort();
  }

  async #read(exec: Exec, started: Promise<void> | undefined): Promise<void> {
    const { signal } = this.#abandoned;
    const output = exec.output[Symbol.asyncIterator]();
    try {
      await started;
      for (;;) {
        const next = await abortable(output.next(), signal);
        if (next.done === true) return;
        const waiting = this.#keep(next.value);
        if (waiting !== undefined) await waiting;
      }
    } catch {
      // the sandbox went away or the rest was abandoned: how the command ended is told by its exit, not here
      if (signal.aborted) this.#truncated = true;
    }
  }

  #keep(chunk: OutputChunk): Promise<void> | undefined {
    const kept = chunk.bytes.subarray(0, this.#options.limit - this.total);
    const waiting = this.#append(chunk.stream, kept);
    if (kept.length < chunk.bytes.length && !this.#truncated) {
      this.#truncated = true;
      this.#options.onLimit();
    }
    return waiting;
  }

  #append(kind: OutputChunk["stream"], bytes: Uint8Array): Promise<void> | undefined {
    if (bytes.length === 0) return undefined;
    if (bytes.length > maxRecordBytes) return this.#appendParts(kind, bytes);
    const record = encodeRecord({ kind, at: Date.now(), bytes });
    const counted = (): void => {
      this.#counts[kind] += bytes.length;
    };
    const waiting = this.#push(record);
    if (waiting === undefined) counted();
    return waiting?.then(counted);
  }

  /** What was noted before comes first. */
  #push(record: Uint8Array): Promise<void> | undefined {
    this.#keepNoted();
    return this.#toSpool(record);
  }

  #keepNoted(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    const { records } = this.#noted;
    if (records.length === 0) return;
    this.#noted = { records: [], bytes: 0 };
    this.#toSpool(Buffer.concat(records))?.catch(() => undefined);
  }

  /** The spool takes one at a time. */
  #toSpool(record: Uint8Array): Promise<void> | undefined {
    const { signal } = this.#abandoned;
    const waiting =
      this.#pending === undefined
        ? this.#spool.append(record, signal)
        : this.#pending.then(() => this.#spool.append(record, signal));
    if (waiting === undefined) return undefined;
    const pending = waiting.then(() => {
      if (this.#pending === pending) this.#pending = undefined;
    });
    this.#pending = pending;
    return pending;
  }

  async #appendParts(kind: OutputChunk["stream"], bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += maxRecordBytes) {
      await this.#append(kind, bytes.subarray(at, at + maxRecordBytes));
    }
  }
}
