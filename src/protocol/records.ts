/**
 * The byte-exact log of one exec: records `kind u8 · at u48 BE · length u32 BE · bytes`, back to back. A position is a byte
 * offset in the log, headers included, so any end can resume at any record; ranges are half-open `[from, to)`.
 */
import { z } from "zod";
import { SallyportError } from "../errors.ts";
import { limits } from "./limits.ts";
import { nestsTooDeep } from "./nesting.ts";

export const recordKinds = { stdout: 1, stderr: 2, event: 3, gap: 4 } as const;
export type RecordKind = keyof typeof recordKinds;
export const recordHeaderBytes = 11;
/** the most bytes one record holds; a whole record has to fit the stream's window */
export const maxRecordBytes = 256 * 2 ** 10;

export interface LogRecord {
  kind: RecordKind;
  /** wall clock `ms` */
  at: number;
  /** at least one */
  bytes: Uint8Array;
}

export interface PlacedRecord extends LogRecord {
  /** position of the record's header */
  from: number;
  /** position behind the record's last byte */
  to: number;
  /** for stdout and stderr: where its bytes stand in that stream as kept; null for the others */
  offset: number | null;
}

/** Something that happened to the exec, in the order it happened relative to what was printed. */
export const logEventSchema = z.looseObject({ event: z.string().min(1).max(64) });
export type LogEvent = z.output<typeof logEventSchema>;

/** What was left out of the log at this place; offsets of later records do not count it. */
export const logGapSchema = z.object({ stdoutBytes: z.int().min(0), stderrBytes: z.int().min(0) });
export type LogGap = z.output<typeof logGapSchema>;

const kindNames = new Map<number, RecordKind>(
  Object.entries(recordKinds).map(([name, code]) => [code, name as RecordKind]),
);

/** The header alone, for a writer that keeps the bytes where they are. `length` is 1 to `maxRecordBytes`. */
export function encodeRecordHeader(kind: RecordKind, at: number, length: number): Uint8Array {
  if (length < 1 || length > maxRecordBytes) {
    throw new RangeError(`a record holds 1 to ${maxRecordBytes} bytes, not ${length}`);
  }
  const bytes = Buffer.allocUnsafe(recordHeaderBytes);
  bytes[0] = recordKinds[kind];
  bytes.writeUIntBE(at, 1, 6);
  bytes.writeUInt32BE(length, 7);
  return bytes;
}

export function encodeRecord(record: LogRecord): Uint8Array {
  const header = encodeRecordHeader(record.kind, record.at, record.bytes.length);
  const bytes = Buffer.allocUnsafe(recordHeaderBytes + record.bytes.length);
  bytes.set(header);
  bytes.set(record.bytes, recordHeaderBytes);
  return bytes;
}

export function eventRecord(at: number, event: LogEvent): LogRecord {
  return { kind: "event", at, bytes: Buffer.from(JSON.stringify(event)) };
}

export function gapRecord(at: number, gap: LogGap): LogRecord {
  return { kind: "gap", at, bytes: Buffer.from(JSON.stringify(gap)) };
}

/** Throws `protocol_violation`. */
export function readEvent(record: LogRecord): LogEvent {
  return readJson(record, "event", logEventSchema);
}

/** Throws `protocol_violation`. */
export function readGap(record: LogRecord): LogGap {
  return readJson(record, "gap", logGapSchema);
}

export interface RecordHeader {
  kind: RecordKind;
  at: number;
  length: number;
}

/** Reads the header that starts at `start`, which must be there whole. Throws `protocol_violation`. */
export function decodeRecordHeader(bytes: Uint8Array, start = 0): RecordHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, recordHeaderBytes);
  const kind = kindNames.get(view.getUint8(0));
  const length = view.getUint32(7);
  if (kind === undefined) throw violation(`unknown kind ${view.getUint8(0)}`);
  if (length < 1 || length > maxRecordBytes) {
    throw violation(`${length} bytes, allowed are 1 to ${maxRecordBytes}`);
  }
  return { kind, at: view.getUint16(1) * 2 ** 32 + view.getUint32(3), length };
}

export interface OutputCount {
  records: number;
  stdoutBytes: number;
  stderrBytes: number;
}

/** Counts what a run of whole records holds, without copying. Throws `protocol_violation` when one is cut short. */
export function countOutput(bytes: Uint8Array): OutputCount {
  const count: OutputCount = { records: 0, stdoutBytes: 0, stderrBytes: 0 };
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < recordHeaderBytes) throw violation("the last one is cut short");
    const { kind, length } = decodeRecordHeader(bytes, at);
    at += recordHeaderBytes + length;
    if (at > bytes.length) throw violation("the last one is cut short");
    count.records += 1;
    if (kind === "stdout") count.stdoutBytes += length;
    if (kind === "stderr") count.stderrBytes += length;
  }
  return count;
}

function readJson<T>(record: LogRecord, kind: RecordKind, schema: z.ZodType<T>): T {
  if (record.kind !== kind) throw violation(`${record.kind} read as ${kind}`);
  try {
    const json = new TextDecoder("utf-8", { fatal: true }).decode(record.bytes);
    if (nestsTooDeep(json)) throw violation(`nested deeper than ${limits.jsonDepth}`);
    return schema.parse(JSON.parse(json));
  } catch (cause) {
    throw new SallyportError("protocol_violation", `record: ${kind} does not hold its JSON`, { cause });
  }
}

export function violation(reason: string): SallyportError {
  return new SallyportError("protocol_violation", `record: ${reason}`);
}
