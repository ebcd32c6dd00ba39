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

  /** Puts an event between what is printed. */
  note(event: LogEvent): void {
    this.#push(encodeRecord(eventRecord(Date.now(), event)))?.catch(() => undefined);
  }

  /** Resolves when all that was noted is kept, or nothing more will be. */
  async noted(): Promise<void> {
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

  /** The spool takes one at a time. */
  #push(record: Uint8Array): Promise<void> | undefined {
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
