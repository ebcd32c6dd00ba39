/**
 * The one form of a hostname that routes are looked up by: lower case, one trailing dot dropped. Undefined for anything that is no
 * hostname: addresses with colons or zones, user names, ports, NULs, characters that only look like letters.
 */
export function canonicalHost(text: string): string | undefined {
  const host = text.toLowerCase().replace(/\.$/, "");
  return host.length <= 253 && /^[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*$/.test(host)
    ? host
    : undefined;
}
