/** What this layer answers itself, as JSON-RPC. */
import { errorCodes, type ErrorCode } from "../../errors.ts";
import { bytesBody, type HttpResponse, type Layer } from "../../exchange/index.ts";

/** JSON-RPC codes of our own answers: -32602 as for an unknown tool, -32020 as the 2026-07-28 revision says, else -32000. */
export const rpcCodes = { denied: -32602, headerMismatch: -32020, failed: -32000 } as const;

/** UTF-16 units of a tool's name that are told: every message of a batch is told the one that was denied */
const longestName = 128;

/** A tool's name as far as it is told. */
export const shortName = (tool: string): string => tool.slice(0, longestName);

export interface RpcFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly layer: Layer;
  readonly requestId: string;
  readonly tool?: string | undefined;
}

/** A JSON-RPC error message; `data` is what programs go by. */
export function rpcError(id: string | number | null, failure: RpcFailure): string {
  const { code, message, layer, requestId, tool } = failure;
  const data = {
    reason: code,
    layer,
    requestId,
    retryable: errorCodes[code].retryable,
    ...(tool && { tool: shortName(tool) }),
  };
  const number = code === "tool_not_allowed" ? rpcCodes.denied : rpcCodes.failed;
  return JSON.stringify({ jsonrpc: "2.0", id, error: { code: number, message, data } });
}

export function mismatchError(id: string | number | null, message: string, requestId: string): string {
  const data = { reason: "mcp_invalid", layer: "policy", requestId, retryable: false };
  return JSON.stringify({ jsonrpc: "2.0", id, error: { code: rpcCodes.headerMismatch, message, data } });
}

export function jsonReply(status: number, text: string): HttpResponse {
  const bytes = Buffer.from(text);
  return {
    status,
    headers: [
      ["content-type", "application/json"],
      ["content-length", String(bytes.length)],
    ],
    body: bytesBody(bytes),
  };
}
