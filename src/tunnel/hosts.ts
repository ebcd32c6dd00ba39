/**
 * The one reading of a hostname. Everything that decides about a host and everything that dials one works on this value, so
 * that no two readers can disagree about what a spelling means. Unusual spellings are refused, never repaired.
 */

/** characters; RFC 1035 without the root's dot */
const longest = 253;
const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const name = new RegExp(`^${label}(?:\\.${label})*$`);
/** A last label that URL parsers take for the end of an IPv4 address: decimal, octal or hexadecimal. */
const numeric = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/;

/**
 * `"Docs.Example"` → `"docs.example"`: letters, digits and hyphens in labels, folded to lower case. Undefined for everything
 * else, such as a trailing dot, userinfo, a port, escapes, zone ids, non-ASCII and IP addresses in any spelling.
 */
export function canonicalHost(text: string): string | undefined {
  if (text.length > longest || !/^[A-Za-z0-9.-]+$/.test(text)) return undefined;
  const host = text.toLowerCase();
  return name.test(host) && !numeric.test(host) ? host : undefined;
}

export interface HostPort {
  /** Canonical */
  readonly host: string;
  /** Null where none is written */
  readonly port: number | null;
}

/** Reads `host` or `host:port` as in a `Host` header or a CONNECT target; undefined where either part is unusual. */
export function splitHostPort(text: string): HostPort | undefined {
  const at = text.indexOf(":");
  const host = canonicalHost(at === -1 ? text : text.slice(0, at));
  if (host === undefined) return undefined;
  if (at === -1) return { host, port: null };
  const digits = text.slice(at + 1);
  const port = /^[1-9]\d{0,4}$/.test(digits) ? Number(digits) : Number.NaN;
  return port <= 65_535 ? { host, port } : undefined;
}
