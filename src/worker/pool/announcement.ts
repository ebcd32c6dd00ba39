/** What an interpreter that was started ahead says of itself, found behind whatever its imports print. */
import { SallyportError } from "../../errors.ts";
import type { OutputChunk, OutputStream } from "../../sandbox/index.ts";

/** `ready`: it waits for its job · `failed`: a module cannot be loaded */
export type Announcement =
  | { kind: "ready"; /** CPU time it took so far */ cpuMs: number; names: ReadonlySet<string> }
  | { kind: "failed"; module: string; reason: string };

/** bytes of the longest line; the names of everything pandas loads are 5 KiB */
const maxLineBytes = 512 * 2 ** 10;

/** One stream of it: noise, one line, and what comes after it. */
class LineSearch {
  readonly #mark: Buffer;
  #seen: Buffer = Buffer.alloc(0);
  line: string | undefined;

  constructor(nonce: string) {
    this.#mark = Buffer.from(`\n${nonce}`);
  }

  /** Returns what comes behind the line. */
  push(bytes: Uint8Array): Uint8Array {
    if (this.line !== undefined) return bytes;
    const seen = Buffer.concat([this.#seen, bytes]);
    const at = seen.indexOf(this.#mark);
    const end = at < 0 ? -1 : seen.indexOf("\n", at + 1);
    if (end >= 0) {
      this.line = seen.toString("utf8", at + 1, end);
      return seen.subarray(end + 1);
    }
    this.#seen = at < 0 ? seen.subarray(-this.#mark.length) : seen.subarray(at);
    if (this.#seen.length > maxLineBytes)
      throw new SallyportError("guest_violation", "an interpreter's first line has no end");
    return new Uint8Array(0);
  }
}

export class AnnouncementSearch {
  readonly #streams: Record<OutputStream, LineSearch>;
  /** What was printed behind the announcement: the job's output begins with it */
  readonly rest: OutputChunk[] = [];

  /** `nonce`: what the lines begin with, and no module can know */
  constructor(nonce: string) {
    this.#streams = { stdout: new LineSearch(nonce), stderr: new LineSearch(nonce) };
  }

  /** Takes what it prints; returns the announcement once it is whole, which for `ready` means on both streams. */
  push({ stream, bytes }: OutputChunk): Announcement | undefined {
    const rest = this.#streams[stream].push(bytes);
    if (rest.length > 0) this.rest.push({ stream, bytes: rest });
    const { stdout, stderr } = this.#streams;
    if (stdout.line === undefined) return undefined;
    const announcement = parse(stdout.line);
    return announcement.kind === "failed" || stderr.line !== undefined ? announcement : undefined;
  }
}

function parse(line: string): Announcement {
  const [, kind, first = "", ...others] = line.split(" ");
  if (kind === "failed") return { kind, module: first, reason: others.join(" ") };
  const cpuUs = Number(first);
  if (kind !== "ready" || !Number.isSafeInteger(cpuUs) || cpuUs < 0)
    throw new SallyportError("guest_violation", "an interpreter's first line makes no sense");
  return { kind, cpuMs: cpuUs / 1_000, names: new Set(others) };
}
