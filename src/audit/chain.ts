/** Lines of a log held against each other, against the names of their files, and against what the head knows. */
import { join } from "node:path";
import { headName, linesOf, type Segment } from "./files.ts";
import { longestLine, readLine, type Link } from "./line.ts";

export interface AuditFault {
  readonly file: string;
  /** From 1; 0 where no line is at fault, but what should be there is not */
  readonly line: number;
  readonly reason: string;
}

export interface AuditReport {
  readonly ok: boolean;
  readonly files: number;
  readonly lines: number;
  /** Numbers of the first and last line; 0 where there are none */
  readonly from: number;
  readonly to: number;
  /** Entries the log itself says it lost */
  readonly lost: number;
  /** Lines in which the log says that it did not verify when it was opened */
  readonly damaged: number;
  /** False for a file that stands alone, of which nobody can say whether lines are missing at its ends */
  readonly anchored: boolean;
  /** Bytes of a line that is being written, or was when its process died */
  readonly unfinished: number;
  readonly fault: AuditFault | null;
}

/** What must be found. */
export interface Known {
  readonly last: Link;
  /** Null where lines before the first one read are not looked at */
  readonly start: Link | null;
}

export function faultAt(dir: string, name: string, reason: string): AuditFault {
  return { file: join(dir, name), line: 0, reason };
}

/** Walks along lines, one file after another. */
export class Chain {
  readonly #known: Known | null;
  #first: Link | null = null;
  #last: Link | null = null;
  #files = 0;
  #lines = 0;
  #lost = 0;
  #damaged = 0;
  #unfinished = 0;

  constructor(known: Known | null) {
    this.#known = known;
  }

  get last(): Link | null {
    return this.#last;
  }

  get unfinished(): number {
    return this.#unfinished;
  }

  /** Null where every line of the file stands, whole and in its place. */
  async follow(dir: string, segment: Segment): Promise<AuditFault | null> {
    const file = join(dir, segment.name);
    this.#files += 1;
    let line = 0;
    if (this.#unfinished > 0) return faultAt(dir, segment.name, "the file before it ends within a line");
    for await (const { bytes, whole } of linesOf(file)) {
      line += 1;
      const reason = whole ? this.#add(bytes) : this.#tail(bytes, segment);
      if (reason !== null) return { file, line, reason };
      const seq = this.#last?.seq;
      if (line === 1 && whole && segment.first > 0 && seq !== segment.first) {
        return {
          file,
          line,
          reason: `it is line ${seq} of the log, and the file is named for ${segment.first}`,
        };
      }
    }
    return null;
  }

  /** What the head promises and no line holds. */
  missing(dir: string, newest: Segment | undefined): AuditFault | null {
    const promised = this.#known?.last.seq ?? 0;
    const found = this.#last?.seq ?? 0;
    if (found >= promised) return null;
    const isOne = found + 1 === promised;
    const what = isOne
      ? `line ${promised} of the log is`
      : `lines ${found + 1} to ${promised} of the log are`;
    return faultAt(dir, newest?.name ?? headName, `${what} missing at its end`);
  }

  report(fault: AuditFault | null): AuditReport {
    return {
      ok: fault === null,
      files: this.#files,
      lines: this.#lines,
      from: this.#first?.seq ?? 0,
      to: this.#last?.seq ?? 0,
      lost: this.#lost,
      damaged: this.#damaged,
      anchored: this.#known !== null,
      unfinished: this.#unfinished,
      fault,
    };
  }

  #add(bytes: Buffer): string | null {
    const reading = readLine(bytes);
    if (!reading.ok) return reading.reason;
    const { link, prev, value } = reading;
    const reason = this.#last === null ? this.#begin(link, prev) : this.#continue(this.#last, link, prev);
    if (reason !== null) return reason;
    if (link.seq === this.#known?.last.seq && link.hash !== this.#known.last.hash) {
      return `it is not line ${link.seq} as ${headName} knows it`;
    }
    this.#last = link;
    this.#lines += 1;
    if (value["kind"] === "gap") this.#lost += Number(value["lost"]);
    if (value["kind"] === "damaged") this.#damaged += 1;
    return null;
  }

  #begin(link: Link, prev: string): string | null {
    this.#first = link;
    const start = this.#known?.start ?? null;
    if (start === null) return null;
    if (link.seq > start.seq + 1)
      return `lines ${start.seq + 1} to ${link.seq - 1} of the log are missing before it`;
    return this.#start(link, prev);
  }

  #continue(before: Link, link: Link, prev: string): string | null {
    if (prev !== before.hash || link.seq !== before.seq + 1) {
      return `it does not follow line ${before.seq} of the log: lines were taken out, put in or moved here`;
    }
    return this.#start(link, prev);
  }

  /** Lines before the start are about to be removed, and the one behind it must say so too. */
  #start(link: Link, prev: string): string | null {
    const start = this.#known?.start ?? null;
    return start === null || link.seq !== start.seq + 1 || prev === start.hash
      ? null
      : `it does not follow the start of the log as ${headName} knows it`;
  }

  #tail(bytes: Buffer, segment: Segment): string | null {
    const next = this.#last === null ? Math.max(segment.first, 1) : this.#last.seq + 1;
    if (bytes.length > longestLine) return "it is too long";
    if (this.#known === null || next <= this.#known.last.seq) return "it has no end";
    this.#unfinished = bytes.length;
    return null;
  }
}
