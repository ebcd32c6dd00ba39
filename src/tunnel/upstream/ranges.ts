/** Which addresses a list of ranges holds, judged on parsed bytes: every spelling of one address is the same address. */
import ipaddr from "ipaddr.js";
import { isIP } from "node:net";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

/** RFC 1918 */
export const privateRanges: readonly string[] = Object.freeze([
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
]);

/** True for a CIDR or a single address that can stand in `allowed_ips`. */
export function isRange(text: string): boolean {
  return parseRange(text) !== undefined;
}

/** A predicate over addresses in text form. What is no address, or names a zone, is in no range. */
export function rangeSet(texts: readonly string[]): (address: string) => boolean {
  const ranges = texts.map(parseRange).filter((range) => range !== undefined);
  const holds = (address: Address): boolean =>
    ranges.some((range) => range[0].kind() === address.kind() && address.match([range[0], range[1]]));
  return (text) => {
    const address = parseAddress(text);
    if (address === undefined || !holds(address)) return false;
    const inner = address instanceof ipaddr.IPv6 ? carriedIPv4(address) : undefined;
    return inner === undefined || holds(inner);
  };
}

/** The form to dial; undefined for what is no address or names a zone. A v4-mapped address is the IPv4 address it maps. */
export function plainAddress(text: string): string | undefined {
  return parseAddress(text)?.toString();
}

function parseAddress(text: string): Address | undefined {
  // Stricter than the library, which also reads octal, hexadecimal and short forms.
  if (isIP(text) === 0 || text.includes("%")) return undefined;
  return ipaddr.process(text);
}

function parseRange(text: string): Range | undefined {
  const [, base = "", digits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (isIP(base) === 0 || base.includes("%")) return undefined;
  const written = ipaddr.parse(base);
  const bits = written.kind() === "ipv4" ? 32 : 128;
  const prefix = digits === undefined ? bits : Number(digits);
  if (prefix > bits) return undefined;
  const address = ipaddr.process(base);
  // A mapped range is the IPv4 range it maps; a wider one would hold addresses that are judged as IPv4.
  if (address.kind() === written.kind()) return [address, prefix];
  return prefix >= 96 ? [address, prefix - 96] : undefined;
}

/** Where a transition form carries its IPv4 address: bytes from `at`, Teredo's with every bit flipped. */
const carriers: readonly { range: string; at: number; flipped?: boolean }[] = [
  { range: "64:ff9b::/96", at: 12 }, // NAT64, RFC 6052
  { range: "64:ff9b:1::/48", at: 12 }, // NAT64 of one network, RFC 8215
  { range: "::ffff:0:0:0/96", at: 12 }, // RFC 6145
  { range: "::/96", at: 12 }, // IPv4-compatible, RFC 4291
  { range: "2002::/16", at: 2 }, // 6to4, RFC 3056
  { range: "2001::/32", at: 12, flipped: true }, // Teredo, RFC 4380
];

/** The IPv4 address that packets to a transition address end up at; such an address must be allowed in both forms. */
function carriedIPv4(address: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  if (["loopback", "unspecified"].includes(address.range())) return undefined;
  const carrier = carriers.find(({ range }) => address.match(ipaddr.IPv6.parseCIDR(range)));
  if (carrier === undefined) return undefined;
  const bytes = address.toByteArray().slice(carrier.at, carrier.at + 4);
  return new ipaddr.IPv4(carrier.flipped === true ? bytes.map((byte) => byte ^ 0xff) : bytes);
}
