import type { EdgeOptions } from "./edge/edge.ts";
import { defaultIntervals, type Intervals } from "../protocol/index.ts";

export interface HubOptions {
  /** address to listen on; loopback unless told otherwise is the caller's part */
  host: string;
  /** 0 picks one */
  port: number;
  /** further names requests may carry in `Host` */
  publicHosts?: readonly string[];
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
