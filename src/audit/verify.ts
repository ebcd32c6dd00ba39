/** Proves the chain from the files alone, without the process that writes them and without its key. */
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { SallyportError } from "../errors.ts";
import { Chain, faultAt, type AuditReport } from "./chain.ts";
import { asSegment, headName, listSegments, readHead, type Head } from "./files.ts";
import { isMissing } from "./missing.ts";

/**
 * Verifies a log by its folder or one of its files, with every file beside it. A file alone, away from its `audit.head`, is verified in
 * itself. What it cannot show: that somebody who may write all files replaced them all. Keep `audit.head` elsewhere for that.
 * Throws `path_unknown`.
 */
export async function verifyAudit(path: string): Promise<AuditReport> {
  const info = await stat(path).catch((error: unknown) => {
    if (isMissing(error)) throw new SallyportError("path_unknown", `${path}: there is no audit log`);
    throw error;
  });
  if (info.isDirectory()) return await verifyFolder(path);
  const dir = dirname(path);
  const beside = asSegment(basename(path)) !== null && (await readHead(dir)) !== null;
  return beside ? await verifyFolder(dir) : await verifyAlone(path);
}

/** A log that is being written moves under the reader; a fault counts once the head stood still around it. */
async function verifyFolder(dir: string): Promise<AuditReport> {
  let head = await readHead(dir);
  for (;;) {
    const report = await verifyWith(dir, head).catch((error: unknown) => {
      if (isMissing(error)) return null;
      throw error;
    });
    if (report?.ok === true) return report;
    const now = await readHead(dir);
    if (report !== null && JSON.stringify(now) === JSON.stringify(head)) return report;
    head = now;
  }
}

async function verifyWith(dir: string, head: Head | "malformed" | null): Promise<AuditReport> {
  const segments = await listSegments(dir);
  if (head === null && segments.length === 0) {
    throw new SallyportError("path_unknown", `${dir}: there is no audit log`);
  }
  if (head === null) return new Chain(null).report(faultAt(dir, headName, "it is missing"));
  if (head === "malformed") return new Chain(null).report(faultAt(dir, headName, "it cannot be read"));
  const chain = new Chain(head);
  for (const segment of segments) {
    const fault = await chain.follow(dir, segment);
    if (fault !== null) return chain.report(fault);
  }
  return chain.report(chain.missing(dir, segments.at(-1)));
}

async function verifyAlone(path: string): Promise<AuditReport> {
  const chain = new Chain(null);
  return chain.report(await chain.follow(dirname(path), { name: basename(path), first: 0 }));
}
