/** Where a log goes on when it is opened, whatever its last process left behind. */
import { stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { Chain, faultAt, type AuditFault } from "./chain.ts";
import { headName, listSegments, readHead, segmentName, type Head, type Segment } from "./files.ts";
import { beginning, type AuditNote, type Link } from "./line.ts";

export interface Resumption {
  /** Lines go on behind this one */
  readonly last: Link;
  readonly start: Link;
  /** Oldest first; lines go on in the last of them, which may not be there yet */
  readonly segments: readonly Segment[];
  /** What the log should say about this */
  readonly note: AuditNote | null;
}

/**
 * Goes on behind the last whole line; only the newest file is read. Where something does not verify nothing is mended: the log goes
 * on in a new file behind the last line anybody knows of, and `verify` still finds what is wrong.
 */
export async function resume(dir: string): Promise<Resumption> {
  const [read, segments] = [await readHead(dir), await listSegments(dir)];
  const head = read === null || read === "malformed" ? null : read;
  const newest = segments.at(-1);
  if (newest === undefined && read === null)
    return goOn({ last: beginning, start: beginning }, segments, null);
  const chain = new Chain(head === null ? null : { last: head.last, start: null });
  const fault = await faultOf(dir, { head, newest, chain });
  const last = further(chain.last, head?.last ?? beginning);
  const known = { last, start: head?.start ?? beginning };
  if (fault !== null) return goOn(known, segments, { kind: "damaged", ...fault });
  if (newest === undefined || chain.unfinished === 0) return { ...known, segments, note: null };
  const file = join(dir, newest.name);
  await truncate(file, (await stat(file)).size - chain.unfinished);
  return { ...known, segments, note: { kind: "repaired", file: newest.name, bytes: chain.unfinished } };
}

async function faultOf(
  dir: string,
  { head, newest, chain }: { head: Head | null; newest: Segment | undefined; chain: Chain },
): Promise<AuditFault | null> {
  const fault = newest === undefined ? null : await chain.follow(dir, newest);
  if (head === null) return fault ?? faultAt(dir, headName, "it is missing, or cannot be read");
  if (newest === undefined) return faultAt(dir, headName, "there are no files with lines");
  const empty = chain.last === null && newest.first === head.last.seq + 1;
  return fault ?? (empty ? null : chain.missing(dir, newest));
}

/** In a new file. */
function goOn(head: Head, segments: readonly Segment[], note: AuditNote | null): Resumption {
  const first = head.last.seq + 1;
  const known = segments.some((segment) => segment.first === first);
  return { ...head, segments: known ? segments : [...segments, { name: segmentName(first), first }], note };
}

function further(found: Link | null, known: Link): Link {
  return found !== null && found.seq > known.seq ? found : known;
}
