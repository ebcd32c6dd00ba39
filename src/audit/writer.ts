/** Puts batches of lines on disk: all of a batch or nothing, then the head, and a new file when the last one is full. */
import { open, stat, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { AuditEntry } from "./contract.ts";
import { linesOf, segmentName, writeHead, type Segment } from "./files.ts";
import { readLine, writeLine, type AuditNote, type Link } from "./line.ts";
import type { Resumption } from "./resume.ts";

export interface Recorded {
  /** Wall clock, `ms` */
  readonly at: number;
  entry: AuditEntry | AuditNote;
}

export type OpenFile = (path: string, flags: string, mode: number) => Promise<FileHandle>;

export interface WriterOptions {
  readonly dir: string;
  /** bytes of one file, which a batch may exceed */
  readonly maxBytes: number;
  /** Files kept, the one that is written to among them */
  readonly keep: number;
  readonly openFile?: OpenFile | undefined;
}

export class LineWriter implements AsyncDisposable {
  readonly #options: WriterOptions;
  readonly #segments: Segment[];
  #last: Link;
  #start: Link;
  #file: FileHandle | undefined;
  /** bytes of the newest file that hold whole lines */
  #size = 0;
  /** The head says what the files hold */
  #settled = false;

  constructor(from: Resumption, options: WriterOptions) {
    this.#options = options;
    this.#segments = [...from.segments];
    this.#last = from.last;
    this.#start = from.start;
  }

  /** Opens the newest file and writes a head, so that a log has one from its first line on. */
  async begin(): Promise<void> {
    await this.#openNewest();
    await this.settle();
  }

  /** Rejects with the error of the disk; nothing of the batch is in the log then. Resolves once all of it is on disk. */
  async write(batch: readonly Recorded[]): Promise<void> {
    let last = this.#last;
    let text = "";
    for (const { at, entry } of batch) {
      const written = writeLine(last, at, entry);
      text += written.line;
      last = written.link;
    }
    if (this.#size >= this.#options.maxBytes) await this.#rotate();
    await this.#append(Buffer.from(text));
    this.#last = last;
    this.#settled = false;
  }

  /** Writes the head, and removes files beyond those to keep. May be repeated when it fails. */
  async settle(): Promise<void> {
    if (this.#settled) return;
    await this.#writeHead();
    await this.#removeOldest();
    this.#settled = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #append(bytes: Buffer): Promise<void> {
    const file = this.#file ?? (await this.#openNewest());
    try {
      await file.appendFile(bytes);
      await file.datasync();
    } catch (error) {
      await file.truncate(this.#size).catch(() => undefined);
      throw error;
    }
    this.#size += bytes.length;
  }

  async #openNewest(): Promise<FileHandle> {
    const { dir, openFile = open } = this.#options;
    const path = join(dir, this.#segments.at(-1)?.name ?? segmentName(1));
    this.#file = await openFile(path, "a", 0o600);
    this.#size = (await stat(path)).size;
    return this.#file;
  }

  async #rotate(): Promise<void> {
    const first = this.#last.seq + 1;
    await this.#file?.close();
    this.#file = undefined;
    if (this.#segments.at(-1)?.first !== first) this.#segments.push({ name: segmentName(first), first });
    await this.#openNewest();
  }

  /** The head says so before the files are gone. */
  async #removeOldest(): Promise<void> {
    const { dir, keep } = this.#options;
    const second = this.#segments[1];
    if (this.#segments.length <= keep || second === undefined) return;
    for await (const { bytes } of linesOf(join(dir, second.name))) {
      const reading = readLine(bytes);
      if (!reading.ok) return;
      this.#start = { seq: second.first - 1, hash: reading.prev };
      break;
    }
    await this.#writeHead();
    await unlink(join(dir, this.#segments[0]?.name ?? ""));
    this.#segments.shift();
    await this.#removeOldest();
  }

  async #writeHead(): Promise<void> {
    await writeHead(this.#options.dir, { last: this.#last, start: this.#start });
  }
}
