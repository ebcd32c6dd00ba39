import {
  decodeRecordHeader,
  recordHeaderBytes,
  violation,
  type PlacedRecord,
  type RecordHeader,
} from "./records.ts";

/** Where a reader starts, all zero by default: a position at the start of a record, and what each stream held before it. */
export interface LogPlace {
  position: number;
  stdoutBytes: number;
  stderrBytes: number;
}

/** Turns a log that comes in pieces, cut anywhere, into records. Holds at most one record that is not whole yet. */
export class RecordReader {
  #place: LogPlace;
  /** the start of a record whose rest has not come; grows with what came, never with what a header claims */
  #partial: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  #partialBytes = 0;

  constructor(start: LogPlace = { position: 0, stdoutBytes: 0, stderrBytes: 0 }) {
    this.#place = { ...start };
  }

  /** behind the last whole record */
  get place(): LogPlace {
    return { ...this.#place };
  }

  /** bytes held of a record that is not whole yet */
  get pending(): number {
    return this.#partialBytes;
  }

  /**
   * The records `chunk` completes, in order. A record that lay whole in `chunk` is a view into it. Throws `protocol_violation`;
   * the reader is of no use after that.
   */
  push(chunk: Uint8Array): PlacedRecord[] {
    const records: PlacedRecord[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#partialBytes === 0) {
        const length = wholeRecord(chunk, at);
        if (length !== undefined) {
          records.push(this.#locate(chunk.subarray(at, at + length)));
          at += length;
          continue;
        }
      }
      at += this.#hold(chunk, at);
      const held = this.#partial.subarray(0, this.#partialBytes);
      if (wholeRecord(held, 0) !== this.#partialBytes) continue;
      records.push(this.#locate(held));
      this.#partial = Buffer.alloc(0);
      this.#partialBytes = 0;
    }
    return records;
  }

  /** Throws `protocol_violation` when the log stops inside a record. */
  end(): void {
    if (this.#partialBytes > 0) throw violation("the last one is cut short");
  }

  /** Keeps as much of `chunk` from `at` on as the record at hand still lacks; returns how much that was. */
  #hold(chunk: Uint8Array, at: number): number {
    const lacks = this.#lacks();
    const piece = chunk.subarray(at, at + lacks);
    const needed = this.#partialBytes + piece.length;
    if (needed > this.#partial.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.max(needed, Math.min(2 * needed, this.#partialBytes + lacks)),
      );
      this.#partial.copy(grown, 0, 0, this.#partialBytes);
      this.#partial = grown;
    }
    this.#partial.set(piece, this.#partialBytes);
    this.#partialBytes = needed;
    return piece.length;
  }

  #lacks(): number {
    if (this.#partialBytes < recordHeaderBytes) return recordHeaderBytes - this.#partialBytes;
    return recordHeaderBytes + decodeRecordHeader(this.#partial).length - this.#partialBytes;
  }

  #locate(record: Uint8Array): PlacedRecord {
    const header: RecordHeader = decodeRecordHeader(record);
    const { position, stdoutBytes, stderrBytes } = this.#place;
    const placed: PlacedRecord = {
      kind: header.kind,
      at: header.at,
      bytes: record.subarray(recordHeaderBytes),
      from: position,
      to: position + record.length,
      offset: null,
    };
    this.#place.position = placed.to;
    if (header.kind === "stdout") {
      placed.offset = stdoutBytes;
      this.#place.stdoutBytes += header.length;
    }
    if (header.kind === "stderr") {
      placed.offset = stderrBytes;
      this.#place.stderrBytes += header.length;
    }
    return placed;
  }
}

/** Size of the record at `at` with its header, when all of it is in `bytes`. */
function wholeRecord(bytes: Uint8Array, at: number): number | undefined {
  if (bytes.length - at < recordHeaderBytes) return undefined;
  const length = recordHeaderBytes + decodeRecordHeader(bytes, at).length;
  return bytes.length - at < length ? undefined : length;
}
