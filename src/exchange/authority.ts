/** `host[:port]` as it stands in `Host`, in `CONNECT` and in an absolute-form target. */
import { isIPv6 } from "node:net";

export interface Authority {
  /** Lower case; an IPv6 address without its brackets */
  readonly host: string;
  /** Null where none is written */
  readonly port: number | null;
}

const form = /^(?:([a-z0-9._-]{1,253})|\[([0-9a-f:.]{2,45})\])(?::([0-9]{1,5}))?$/i;

/**
 * Reads an authority strictly: unusual spellings (userinfo, a trailing dot, empty labels, percent-encoding, zone ids, anything
 * but ASCII) are refused rather than mended, so that every later decision sees the host that was written. Null: refused.
 */
export function parseAuthority(text: string): Authority | null {
  const match = form.exec(text);
  if (match === null) return null;
  const [, name, literal, digits] = match;
  const port = digits === undefined ? null : Number(digits);
  if (port !== null && (port === 0 || port > 65_535)) return null;
  if (literal !== undefined) return isIPv6(literal) ? { host: literal.toLowerCase(), port } : null;
  if (name === undefined || !name.split(".").every(isLabel)) return null;
  return { host: name.toLowerCase(), port };
}

const isLabel = (label: string): boolean =>
  label.length > 0 && label.length <= 63 && !label.startsWith("-") && !label.endsWith("-");
