/** Kinds of text in a tunnel file. */
import { isIP } from "node:net";
import { canonicalHost, type UpstreamAddress } from "../../tunnel/index.ts";
import type { YamlValue } from "./yaml.ts";

const msPerUnit: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `1m30s` → 90000 `ms` */
export function readDuration(value: YamlValue): number {
  const text = value.text();
  const parts = [...text.matchAll(/(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, amount, unit = ""]) => sum + Number(amount) * (msPerUnit[unit] ?? 0), 0);
  if (parts.map(([part]) => part).join("") === text) return Math.round(ms);
  throw value.fault(
    `time: invalid duration ${JSON.stringify(text)}`,
    "write it with units, such as 30s or 1m30s",
  );
}

export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** `:8080`, `127.0.0.1:8080` or `[::1]:8080`; without a host it is every interface. */
export function readListen(value: YamlValue): Listen {
  const text = value.text();
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3] ?? Number.NaN);
  const known = host === "" || isIP(host) !== 0 || canonicalHost(host) !== undefined;
  if (known && port <= 65_535) return Object.freeze({ host, port });
  throw value.fault(
    `${JSON.stringify(text)} is not an address`,
    "write HOST:PORT, such as 127.0.0.1:8080, or :8080 for every interface",
  );
}

/** Exactly `scheme://host:port`; the host may be an IP address in its usual spelling. */
export function readUpstream(value: YamlValue): UpstreamAddress {
  const match = /^(https?):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]/?#@\\]+)):([1-9]\d{0,4})$/.exec(value.text());
  const [, scheme, literal, name = "", digits] = match ?? [];
  const host = literal === undefined ? nameOrIPv4(name) : isIP(literal) === 6 ? literal : undefined;
  const port = Number(digits ?? Number.NaN);
  if (host !== undefined && port <= 65_535) {
    return Object.freeze({ scheme: scheme === "https" ? "https" : "http", host, port });
  }
  throw value.fault(
    "invalid upstream (must be scheme://host:port)",
    "write http:// or https://, a host and a port, without a path, such as http://docs.internal:8080",
  );
}

function nameOrIPv4(text: string): string | undefined {
  return isIP(text) === 4 ? text : canonicalHost(text);
}

export function readHost(value: YamlValue, text = value.text()): string {
  const host = canonicalHost(text);
  if (host !== undefined) return host;
  throw value.fault(
    `${JSON.stringify(text)} is not a hostname`,
    "use letters, digits and hyphens, in labels parted by single dots",
  );
}
