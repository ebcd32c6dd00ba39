/** Header lists: what belongs to one connection only is taken out of them, and the rest is looked up and changed here. */
import type { HeaderList } from "./contract.ts";

/** RFC 9110 §7.6.1 and what proxies of old added; `expect` and `host` are settled by each end itself. */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "expect",
  "host",
]);

/** Pairs of Node's `rawHeaders`, with names in lower case. */
export function pairsOf(raw: readonly string[]): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    pairs.push([raw[at]?.toLowerCase() ?? "", raw[at + 1] ?? ""]);
  }
  return pairs;
}

/** What goes on to the other side: without hop-by-hop headers and without those that `Connection` names. */
export function endToEnd(pairs: HeaderList): HeaderList {
  const named = namedByConnection(pairs);
  return pairs.filter(([name]) => !hopByHop.has(name) && !named.has(name));
}

function namedByConnection(pairs: HeaderList): ReadonlySet<string> {
  const named = new Set<string>();
  for (const [name, value] of pairs) {
    if (name !== "connection") continue;
    for (const item of value.split(",")) named.add(item.trim().toLowerCase());
  }
  return named;
}

/** The first value under `name` (lower case); undefined where there is none. */
export function headerOf(headers: HeaderList, name: string): string | undefined {
  return headers.find((pair) => pair[0] === name)?.[1];
}

export function withoutHeaders(headers: HeaderList, ...names: readonly string[]): HeaderList {
  return headers.filter(([name]) => !names.includes(name));
}

/** `headers` with exactly one `name`, which has `value`. */
export function withHeader(headers: HeaderList, name: string, value: string): HeaderList {
  return [...withoutHeaders(headers, name), [name, value]];
}
