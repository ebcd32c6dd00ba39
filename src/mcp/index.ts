/** Reads MCP traffic of both protocol eras and holds it to a tool rule. Owns the MCP SDK. */
export type { CallEnd, CallOutcome, ListPage, ToolCall, ToolRule, ToolVerdict } from "./contract.ts";
export { throughToolPolicy } from "./policy/policy.ts";
export { EventSplitter, readEvent, rewriteEvent } from "./policy/sse.ts";
export {
  toolListDigest,
  ToolPin,
  type PinMode,
  type PinState,
  type ToolDrift,
  type ToolPinOptions,
} from "./pin.ts";
export type { SampleServer, SampleServerOptions } from "./sample/listener.ts";
export { startSampleServer } from "./sample/start.ts";
export type { SampleLedger } from "./sample/tools.ts";
