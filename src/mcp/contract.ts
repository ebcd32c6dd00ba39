/** What the reader of MCP traffic asks of a policy. */
import type { ErrorCode } from "../errors.ts";

/** One `tools/call` as it was read, before it is sent anywhere. */
export interface ToolCall {
  readonly tool: string;
  /** JSON-RPC id; null for a notification */
  readonly rpcId: string | number | null;
  /** The arguments as they stand in the body; empty where there are none */
  readonly arguments: Uint8Array;
  /** Id of the HTTP request that carried it, as in `HttpRequest` */
  readonly requestId: string;
}

export type ToolVerdict =
  { readonly allow: true } | { readonly allow: false; readonly code: ErrorCode; readonly reason: string };

/** How a call that was sent came out. `unknown`: it may or may not have been carried out. */
export type CallOutcome = "answered" | "tool_error" | "rpc_error" | "failed" | "unknown";

export interface CallEnd {
  readonly verdict: ToolVerdict;
  /** Null where it was never sent */
  readonly outcome: CallOutcome | null;
  readonly ms: number;
}

/** Which part of the upstream's tools a list is. */
export interface ListPage {
  /** False also where the request of the list is not known, as in a resumed stream */
  readonly first: boolean;
  readonly last: boolean;
}

/** The rule for one grant: `tools/list` is filtered by the same `tools` as `tools/call`. */
export interface ToolRule {
  /** Which tools may be seen and called, compared exactly; null: every one */
  readonly tools: ReadonlySet<string> | null;
  /** Refuse what cannot be read for certain, because calls are counted; a rule with `tools` always does */
  readonly strict?: boolean;
  /** Refuse answers that may hold tools and cannot be read for certain, because lists are pinned; a rule with `tools` always does */
  readonly pinned?: boolean;
  /** Asked once for each call of an allowed tool, before it is sent: counts and rates. */
  admit(call: ToolCall): ToolVerdict;
  /** Told of every call once, also of one that was denied (`verdict`), with how it came out where it was sent. */
  ended(call: ToolCall, end: CallEnd): void;
  /** Asked for each tool list of the upstream before it is filtered, page by page, for pinning. */
  listed(tools: readonly unknown[], page: ListPage): ToolVerdict;
}
