/** JSON read so that no two readers of it can disagree, with the places of its parts in the text. */
import { isUtf8 } from "node:buffer";

/** Half-open, in UTF-16 units of the text */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export type JsonReading =
  | { readonly ok: true; readonly text: string; readonly value: unknown }
  | { readonly ok: false; readonly reason: string };

/** Deeper nesting overflows the stack of some readers */
const deepest = 64;

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Reads bytes that have one meaning only: UTF-8 without a byte order mark, JSON to the letter, no key twice in an object, no key
 * with a lone surrogate, nested at most 64 deep.
 */
export function readJson(bytes: Buffer): JsonReading {
  if (!isUtf8(bytes)) return { ok: false, reason: "it is not UTF-8" };
  const text = bytes.toString("utf8");
  const value = parse(text);
  if (value === undefined) return { ok: false, reason: "it is not JSON" };
  const reason = ambiguity(text);
  return reason === null ? { ok: true, text, value } : { ok: false, reason };
}

/** Undefined where `text` is no JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Why readers could disagree about `text`, which is JSON; null when they cannot. */
export function ambiguity(text: string): string | null {
  const open: (Set<string> | null)[] = [];
  let keyNext = false;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case quote: {
        const end = stringEnd(text, at);
        const fault = keyNext ? addKey(text.slice(at, end), open.at(-1)) : null;
        if (fault !== null) return fault;
        keyNext = false;
        at = end - 1;
        break;
      }
      case openBrace:
      case openBracket:
        keyNext = text.charCodeAt(at) === openBrace;
        if (open.push(keyNext ? new Set() : null) > deepest) return "it is nested too deep";
        break;
      case closeBrace:
      case closeBracket:
        open.pop();
        keyNext = false;
        break;
      case comma:
        keyNext = open.at(-1) !== null;
        break;
    }
  }
  return null;
}

function addKey(token: string, keys: Set<string> | null | undefined): string | null {
  const key = stringOf(token);
  if (!key.isWellFormed()) return "a key holds a lone surrogate";
  if (keys?.has(key) === true) return `the key ${JSON.stringify(key.slice(0, 64))} stands twice`;
  keys?.add(key);
  return null;
}

/** Where the values of the object at `at` stand. The text is JSON. */
export function members(text: string, at: number): Map<string, Span> {
  const found = new Map<string, Span>();
  let next = skipSpace(text, at + 1);
  while (text.charCodeAt(next) !== closeBrace) {
    const keyEnd = stringEnd(text, next);
    const key = stringOf(text.slice(next, keyEnd));
    const from = skipSpace(text, text.indexOf(":", keyEnd) + 1);
    const to = valueEnd(text, from);
    found.set(key, { from, to });
    next = behindComma(text, to);
  }
  return found;
}

/** Where the elements of the array at `at` stand. The text is JSON. */
export function elements(text: string, at: number): Span[] {
  const found: Span[] = [];
  let next = skipSpace(text, at + 1);
  while (text.charCodeAt(next) !== closeBracket) {
    const to = valueEnd(text, next);
    found.push({ from: next, to });
    next = behindComma(text, to);
  }
  return found;
}

export function skipSpace(text: string, at: number): number {
  let next = at;
  while (isSpace(text.charCodeAt(next))) next += 1;
  return next;
}

function behindComma(text: string, at: number): number {
  const next = skipSpace(text, at);
  return text.charCodeAt(next) === comma ? skipSpace(text, next + 1) : next;
}

function stringOf(token: string): string {
  return token.includes("\\") ? (JSON.parse(token) as string) : token.slice(1, -1);
}

/** The place behind the string that begins at `at`. */
function stringEnd(text: string, at: number): number {
  let end = text.indexOf('"', at + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end + 1;
}

function isEscaped(text: string, at: number): boolean {
  let from = at;
  while (text.charCodeAt(from - 1) === backslash) from -= 1;
  return (at - from) % 2 === 1;
}

function valueEnd(text: string, from: number): number {
  const first = text.charCodeAt(from);
  if (first === quote) return stringEnd(text, from);
  if (first === openBrace || first === openBracket) return groupEnd(text, from);
  let end = from;
  while (end < text.length && !endsLiteral(text.charCodeAt(end))) end += 1;
  return end;
}

function groupEnd(text: string, from: number): number {
  let depth = 0;
  let at = from;
  do {
    const code = text.charCodeAt(at);
    if (code === openBrace || code === openBracket) depth += 1;
    else if (code === closeBrace || code === closeBracket) depth -= 1;
    at = code === quote ? stringEnd(text, at) : at + 1;
  } while (depth > 0);
  return at;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function endsLiteral(code: number): boolean {
  return code === comma || code === colon || code === closeBrace || code === closeBracket || isSpace(code);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
