/** Passes a stream of events on, each as soon as it is whole. */
import { Readable } from "node:stream";
import { EventSplitter, readEvent, rewriteEvent, writeEvent } from "./sse.ts";

export interface EventReader {
  /** Must see every event */
  readonly filters: boolean;
  /** What the caller gets for an event's data; throws where the stream must not go on. */
  read(data: string): string;
  /** Told once that no event will follow; what the caller gets at the end. */
  over(resumable: boolean): string[];
  /** Told that the rest is not read. */
  unseen(): void;
}

/** A whole event whose data is not changed passes byte for byte. One longer than `limit` ends the stream, or the reading of it. */
export function relayEvents(source: Readable, reader: EventReader, limit: number): Readable {
  return new EventRelay(source, reader, limit);
}

class EventRelay extends Readable {
  readonly #source: Readable;
  readonly #reader: EventReader;
  readonly #limit: number;
  readonly #splitter = new EventSplitter();
  #resumable = false;
  #raw = false;
  #over = false;

  constructor(source: Readable, reader: EventReader, limit: number) {
    super();
    this.#source = source;
    this.#reader = reader;
    this.#limit = limit;
    source.on("data", (chunk: Buffer) => this.#data(chunk));
    source.pause();
    // what stands behind the last blank line is no event, and must not become a part of one that is told here
    source.on("end", () => this.#finish());
    source.on("error", () => this.#finish());
    source.on("close", () => this.#finish());
    if (source.destroyed) this.#finish();
  }

  override _read(): void {
    if (!this.#over) this.#source.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#close(this.#resumable);
    done(error);
  }

  #data(chunk: Buffer): void {
    if (this.#over) return;
    let room = true;
    try {
      const pieces = this.#raw ? [chunk] : this.#splitter.push(chunk);
      for (const piece of pieces) room = this.push(this.#raw ? piece : this.#read(piece));
      if (this.#splitter.size > this.#limit) room = this.#tooLong();
    } catch {
      return this.#finish(false);
    }
    if (!room) this.#source.pause();
  }

  #read(piece: Buffer): Buffer {
    const event = readEvent(piece);
    this.#resumable ||= event.hasId;
    if (event.data === undefined) return piece;
    const read = this.#reader.read(event.data);
    return read === event.data ? piece : rewriteEvent(event, read);
  }

  #tooLong(): boolean {
    const rest = this.#splitter.rest();
    if (this.#reader.filters) throw new RangeError("an event is too long to be read");
    this.#raw = true;
    this.#reader.unseen();
    return this.push(rest);
  }

  #finish(resumable = this.#resumable): void {
    for (const message of this.#close(resumable)) this.push(writeEvent(message));
    this.push(null);
  }

  #close(resumable: boolean): string[] {
    if (this.#over) return [];
    this.#over = true;
    this.#source.destroy();
    return this.#reader.over(resumable);
  }
}
