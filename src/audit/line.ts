/**
 * One line of the log: a JSON object whose last member is the SHA-256 of every byte of the line before it. As `prev`, the hash of
 * the line before, is among those bytes, each line stands for all lines above it.
 */
import { hash as digestOf } from "node:crypto";
import type { AuditEntry } from "./contract.ts";

/** What the log says about itself. */
export type AuditNote =
  /** Entries that were lost because the disk took none */
  | { readonly kind: "gap"; readonly lost: number; readonly reason: string }
  /** A line that was being written when its process died was taken off the end */
  | { readonly kind: "repaired"; readonly file: string; readonly bytes: number }
  /** The log did not verify when it was opened; it goes on in a new file, and the old ones stay as they are */
  | { readonly kind: "damaged"; readonly file: string; readonly line: number; readonly reason: string };

/** A place in the chain: the line that was last, and its hash. */
export interface Link {
  readonly seq: number;
  readonly hash: string;
}

/** What stands before the first line. */
export const beginning: Link = { seq: 0, hash: "0".repeat(64) };

/** bytes; far above a line whose texts are all as long as they may be */
export const longestLine = 256 * 2 ** 10;

/** UTF-16 units of one text of an entry */
const longestText = 1_024;

/** The line behind `link`, with its line feed, and the link it makes. */
export function writeLine(
  link: Link,
  at: number,
  entry: AuditEntry | AuditNote,
): { line: string; link: Link } {
  const seq = link.seq + 1;
  const head = { seq, at: new Date(at).toISOString(), prev: link.hash };
  const body = JSON.stringify(clipped({ ...head, ...entry })).slice(0, -1);
  const hash = digestOf("sha256", body);
  return { line: `${body}${ending(hash)}\n`, link: { seq, hash } };
}

/** Names of tools and hosts come from programs, and may be of any length. */
function clipped(line: Record<string, unknown>): Record<string, unknown> {
  for (const [key, value] of Object.entries(line)) {
    if (typeof value === "string" && value.length > longestText)
      line[key] = `${value.slice(0, longestText)}…`;
  }
  return line;
}

function ending(hash: string): string {
  return `,"hash":"${hash}"}`;
}

export type LineReading =
  | { readonly ok: true; readonly link: Link; readonly prev: string; readonly value: Record<string, unknown> }
  | { readonly ok: false; readonly reason: string };

/** Reads a line without its line feed, by its bytes alone. */
export function readLine(bytes: Buffer): LineReading {
  const body = bytes.subarray(0, Math.max(0, bytes.length - ending(beginning.hash).length));
  const hash = digestOf("sha256", body);
  if (!bytes.subarray(body.length).equals(Buffer.from(ending(hash)))) {
    return { ok: false, reason: "its bytes do not match its hash" };
  }
  const value = parse(bytes.toString("utf8"));
  if (value === null) return { ok: false, reason: "it is not a line of this log" };
  return { ok: true, link: { seq: Number(value["seq"]), hash }, prev: String(value["prev"]), value };
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}
