import { hostname } from "node:os";
import type { EdgeOptions } from "./edge/edge.ts";
import { defaultIntervals, type Intervals } from "../protocol/index.ts";

export interface HubOptions {
  /** address to listen on; loopback unless told otherwise is the caller's part */
  host: string;
  /** 0 picks one */
  port: number;
  /** further names requests may carry in `Host` */
  publicHosts?: readonly string[];
  /** where other hubs on the same store reach this one; its own address, or the host's name when it listens on all of them */
  advertise?: string;
  /** what workers are told; each has a default */
  intervals?: Partial<Intervals>;
  /** how long finished jobs are kept, `ms`; default 7 days */
  retentionMs?: number;
  /** where callers of routes come in; nowhere without it */
  edge?: EdgeOptions;
  /** PEM; plain HTTP without it */
  tls?: { cert: string; key: string };
}

export const defaultRetentionMs = 7 * 86_400_000;

/** The defaults, with what `wanted` names in their place. */
export function intervalsWith(wanted: Partial<Intervals> = {}): Intervals {
  return { ...defaultIntervals, ...wanted };
}

const everyAddress = new Set(["0.0.0.0", "::"]);

/** The URL other hubs call this one by, which listens at `url`. */
export function advertisedUrl(options: HubOptions, url: string): string {
  if (options.advertise !== undefined) return options.advertise;
  const own = new URL(url);
  if (everyAddress.has(options.host)) own.hostname = hostname();
  return own.origin;
}

/** The name in it, which requests of theirs carry in `Host`. */
export function advertisedName(options: HubOptions): string {
  if (options.advertise !== undefined) return new URL(options.advertise).hostname.replace(/^\[|\]$/g, "");
  return everyAddress.has(options.host) ? hostname() : options.host;
}
