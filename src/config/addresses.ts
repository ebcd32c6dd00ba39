/** Hosts, ports and URLs as they stand on a command line. All throw `config_invalid`. */
import { isIP } from "node:net";
import { configFault } from "./fault.ts";

/** Where something listens */
export interface Address {
  readonly host: string;
  /** 0: any free one */
  readonly port: number;
}

export const ports = { min: 0, max: 65_535 };

/** `HOST:PORT` of the option `key`. */
export function parseAddress(text: string, key: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3] ?? Number.NaN);
  if (host !== "" && port <= ports.max) return { host, port };
  throw configFault(`${JSON.stringify(text)} is not an address`, {
    source: "command line",
    key,
    fix: "write HOST:PORT, such as 127.0.0.1:7070, 0.0.0.0:7070 or [::1]:7070",
  });
}

/** What no request's Host could equal would keep every client out, without a word. */
export function publicHost(text: string): string {
  if (/^[a-z0-9._-]+$/i.test(text) || isIP(text) !== 0) return text;
  throw configFault(`${JSON.stringify(text)} is no name of a host`, {
    source: "command line",
    key: "--public-host",
    fix: "give the name or address alone, without scheme and port, like hub.example.com",
  });
}

/** The URL other hubs reach it by. */
export function advertisedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
  throw configFault(`${JSON.stringify(text)} is no address of a hub`, {
    source: "command line",
    key: "--advertise",
    fix: "give scheme, host and port, like http://hub-1:7070",
  });
}

/** Told at the start: at a dial it would be one more failure to try again after. */
export function hubUrl(text: string): string {
  const url = URL.parse(text);
  const isHub = url !== null && /^(?:https?|wss?):$/.test(url.protocol);
  if (isHub && url.username === "" && url.password === "") return text;
  throw configFault(`${JSON.stringify(text)} is not the address of a hub`, {
    source: "command line",
    key: "--hub",
    fix: "write it as https://HOST[:PORT], without a user name",
  });
}
