/** Values of flags, parsed; each fault names its flag. */
import { isError } from "../errors.ts";
import { parseDuration, parseSize } from "../units.ts";
import { configFault } from "./fault.ts";

/** `"5m"` → 300000 `ms`. */
export function durationFlag(text: string, flag: string): number {
  return quantity(() => parseDuration(text, flag), text, flag);
}

/** `"8GiB"` → bytes. */
export function sizeFlag(text: string, flag: string): number {
  return quantity(() => parseSize(text, flag), text, flag);
}

/** A whole number within `range`. */
export function countFlag(text: string, flag: string, range: { min: number; max: number }): number {
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= range.min && value <= range.max) return value;
  const fix = `write a whole number from ${range.min} to ${range.max}`;
  throw configFault(`${JSON.stringify(text)} is out of range`, { source: "command line", key: flag, fix });
}

/** `["a=1", "b="]` → `{a: "1", b: ""}`; the last of one name wins. */
export function pairsFlag(texts: readonly string[], flag: string): Record<string, string> {
  const pairs = texts.map((text) => {
    const at = text.indexOf("=");
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)] as const;
    const fix = "write it as NAME=VALUE";
    throw configFault(`${JSON.stringify(text)} has no name`, { source: "command line", key: flag, fix });
  });
  return Object.fromEntries(pairs);
}

function quantity(parse: () => number, text: string, flag: string): number {
  try {
    return parse();
  } catch (error) {
    if (!isError(error)) throw error;
    const fix = String(error.details["fix"]);
    const reason = `${JSON.stringify(text)} cannot be read`;
    throw configFault(reason, { source: "command line", key: flag, fix });
  }
}
