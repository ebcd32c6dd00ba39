/**
 * `text/event-stream` cut into whole events whose bytes stay as they came.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
import { Gathering } from "../../exchange/index.ts";

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

export class EventSplitter {
  readonly #pending = new Gathering();
  #lineIsEmpty = true;
  #afterReturn = false;

  /** Bytes of the event that is not whole yet */
  get size(): number {
    return this.#pending.size;
  }

  /**
   * Pieces that `bytes` completed, which are together what came in: whole events up to and with their blank line, and a line feed
   * alone where it came apart from its carriage return.
   */
  push(bytes: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let from = 0;
    for (let at = 0; at < bytes.length; at += 1) {
      const code = bytes[at];
      if (code === lineFeed && this.#afterReturn) {
        this.#afterReturn = false;
        if (at === 0 && this.size === 0) pieces.push(bytes.subarray(0, (from = 1)));
        continue;
      }
      this.#afterReturn = code === carriageReturn;
      if (code !== lineFeed && code !== carriageReturn) {
        this.#lineIsEmpty = false;
        continue;
      }
      if (!this.#lineIsEmpty) {
        this.#lineIsEmpty = true;
        continue;
      }
      const paired = this.#afterReturn && bytes[at + 1] === lineFeed;
      if (paired) this.#afterReturn = false;
      at += paired ? 1 : 0;
      pieces.push(this.#take(bytes.subarray(from, at + 1)));
      from = at + 1;
    }
    if (from < bytes.length) this.#pending.add(bytes.subarray(from));
    return pieces;
  }

  /** What stands behind the last whole event; undefined when nothing does. */
  rest(): Buffer | undefined {
    return this.size === 0 ? undefined : this.#pending.take();
  }

  #take(tail: Buffer): Buffer {
    this.#pending.add(tail);
    return this.#pending.take();
  }
}

export interface EventLines {
  readonly text: string;
  /** Lines other than data, in their order */
  readonly others: readonly string[];
  /** Undefined where the event has none, and so is not dispatched */
  readonly data: string | undefined;
  readonly hasId: boolean;
}

const lineEnd = /\r\n|\r|\n/;

/** Reads one whole event. */
export function readEvent(bytes: Buffer): EventLines {
  const text = bytes.toString("utf8");
  const others: string[] = [];
  const data: string[] = [];
  for (const line of text.replace(/^\uFEFF/, "").split(text.includes("\r") ? lineEnd : "\n")) {
    if (line === "") continue;
    if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    else if (line === "data") data.push("");
    else others.push(line);
  }
  const hasId = others.some((line) => line === "id" || line.startsWith("id:"));
  return { text, others, data: data.length === 0 ? undefined : data.join("\n"), hasId };
}

/** An event of its own. */
export function writeEvent(data: string): Buffer {
  return Buffer.from(`event: message\ndata: ${data}\n\n`);
}

/** The event with other data, its other lines first; its blank line as far as that has come. */
export function rewriteEvent({ text, others }: EventLines, data: string): Buffer {
  // no carriage return alone: with a line feed for the blank line it would be one end of a line
  const end = text.includes("\r\n") ? "\r\n" : "\n";
  const blank = /(?:\r\n|\r|\n)$/.exec(text)?.[0] ?? "";
  const lines = [...others, ...data.split("\n").map((line) => `data: ${line}`)];
  return Buffer.from(lines.map((line) => line + end).join("") + blank);
}
