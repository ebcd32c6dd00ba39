/**
 * Incremental reader of `text/event-stream`: bytes in, whole events out, however the bytes were split.
 * Follows https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
import { SallyportError } from "../errors.ts";

export interface SseEvent {
  /** `message` unless the stream named it */
  event: string;
  data: string;
  /** The last id the stream set, which also stands for events that did not set one */
  id: string;
}

/** characters of one event; far above what a hub sends */
const eventLimit = 32 * 2 ** 20;

export class SseParser {
  readonly #decoder = new TextDecoder("utf-8");
  #partial = "";
  #skipLineFeed = false;
  #event = "";
  #data: string[] = [];
  #size = 0;
  #id = "";

  /** Events that `bytes` completed; throws `protocol_violation` when one grows beyond every bound. */
  push(bytes: Uint8Array): SseEvent[] {
    const text = this.#decoder.decode(bytes, { stream: true });
    const events: SseEvent[] = [];
    let at = this.#skipLineFeed && text.startsWith("\n") ? 1 : 0;
    if (text.length > 0) this.#skipLineFeed = false;
    let carriageReturn = text.indexOf("\r", at);
    let lineFeed = text.indexOf("\n", at);
    while (carriageReturn !== -1 || lineFeed !== -1) {
      const byReturn = lineFeed === -1 || (carriageReturn !== -1 && carriageReturn < lineFeed);
      const end = byReturn ? carriageReturn : lineFeed;
      this.#line(this.#partial + text.slice(at, end), events);
      this.#partial = "";
      at = end + 1;
      if (byReturn && text[at] === "\n") at += 1;
      else if (byReturn && at === text.length) this.#skipLineFeed = true;
      if (carriageReturn !== -1 && carriageReturn < at) carriageReturn = text.indexOf("\r", at);
      if (lineFeed !== -1 && lineFeed < at) lineFeed = text.indexOf("\n", at);
    }
    this.#partial += text.slice(at);
    this.#guard(this.#partial.length);
    return events;
  }

  #line(line: string, events: SseEvent[]): void {
    if (line === "") return this.#dispatch(events);
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#addData(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #addData(value: string): void {
    this.#data.push(value);
    this.#size += value.length;
    this.#guard(0);
  }

  #dispatch(events: SseEvent[]): void {
    if (this.#data.length > 0) {
      events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
    }
    this.#event = "";
    this.#data = [];
    this.#size = 0;
  }

  #guard(pending: number): void {
    if (this.#size + pending <= eventLimit) return;
    throw new SallyportError("protocol_violation", `an event is longer than ${eventLimit} characters`);
  }
}
