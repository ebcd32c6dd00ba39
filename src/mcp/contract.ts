/** What the reader of MCP traffic asks of a policy. */
import type { ErrorCode } from "../errors.ts";

/** One `tools/call` as it was read, before it is sent anywhere. */
export interface ToolCall {
  readonly tool: string;
  /** JSON-RPC id; null for a notification */
  readonly rpcId: string | number | null;
  /** The arguments as they stand in the body; empty where there are none */
  readonly arguments: Uint8Array;
}

export type ToolVerdict =
  { readonly allow: true } | { readonly allow: false; readonly code: ErrorCode; readonly reason: string };

/** How a call that was sent came out. `unknown`: it may or may not have been carried out. */
export type CallOutcome = "answered" | "tool_error" | "rpc_error" | "failed" | "unknown";

/** The rule for one grant: `tools/list` is filtered by the same `allows` as `tools/call`. */
export interface ToolRule {
  /** Which tools may be seen and called; null: every one */
  readonly tools: ReadonlySet<string> | null;
  /** Asked once for each call of an allowed tool, before it is sent: counts and rates. */
  admit(call: ToolCall): ToolVerdict;
  /** Told of every call once, also of one that was denied (`verdict`), with how it came out where it was sent. */
  ended(call: ToolCall, end: { verdict: ToolVerdict; outcome: CallOutcome | null; ms: number }): void;
  /** Asked for each whole tool list of the upstream before it is filtered, for pinning. */
  listed(tools: readonly unknown[]): ToolVerdict;
}
