/** The files of a log: lines in files named by the number of their first line, and a head that says where they begin and end. */
import { createReadStream } from "node:fs";
import { open, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "./missing.ts";
import { beginning, longestLine, type Link } from "./line.ts";

export interface Segment {
  readonly name: string;
  /** `seq` of its first line */
  readonly first: number;
}

export interface Head {
  /** The last line that was on disk when this was written; there may be more */
  readonly last: Link;
  /** The line before the first one that is kept */
  readonly start: Link;
}

export const headName = "audit.head";

export function segmentName(first: number): string {
  return `audit-${String(first).padStart(12, "0")}.jsonl`;
}

export function asSegment(name: string): Segment | null {
  const digits = /^audit-(\d{12})\.jsonl$/.exec(name)?.[1];
  return digits === undefined ? null : { name, first: Number(digits) };
}

/** Oldest first. */
export async function listSegments(dir: string): Promise<Segment[]> {
  const names = await readdir(dir);
  return names.flatMap((name) => asSegment(name) ?? []).sort((a, b) => a.first - b.first);
}

/** Null where there is none; `malformed` where it says nothing that can be understood. */
export async function readHead(dir: string): Promise<Head | "malformed" | null> {
  let text: string;
  try {
    text = await readFile(join(dir, headName), "utf8");
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const head = JSON.parse(text) as Head;
    const sound = isLink(head.last) && isLink(head.start) && text === headText(head);
    return sound ? head : "malformed";
  } catch {
    return "malformed";
  }
}

/** Replaces the head as a whole. */
export async function writeHead(dir: string, head: Head): Promise<void> {
  const next = join(dir, `${headName}.next`);
  await using file = await open(next, "w", 0o600);
  await file.writeFile(headText(head));
  await file.datasync();
  await rename(next, join(dir, headName));
}

function headText({ last, start }: Head): string {
  const plain = ({ seq, hash }: Link): Link => ({ seq, hash });
  return `${JSON.stringify({ last: plain(last), start: plain(start) })}\n`;
}

function isLink(link: Link): boolean {
  return Number.isSafeInteger(link.seq) && link.seq >= 0 && link.hash.length === beginning.hash.length;
}

/** Lines of a file without their line feeds; `whole` is false for what stands behind the last one, and for a line beyond every bound. */
export async function* linesOf(path: string): AsyncGenerator<{ bytes: Buffer; whole: boolean }> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a, from)) {
      yield { bytes: bytes.subarray(from, end), whole: true };
      from = end + 1;
    }
    rest = bytes.subarray(from);
    if (rest.length > longestLine) break;
  }
  if (rest.length > 0) yield { bytes: rest, whole: false };
}
