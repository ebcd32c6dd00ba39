/** Reads MCP traffic of both protocol eras and holds it to a tool rule. Owns the MCP SDK. */
export type { CallOutcome, ToolCall, ToolRule, ToolVerdict } from "./contract.ts";
