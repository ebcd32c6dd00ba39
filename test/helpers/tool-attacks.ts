/**
 * Ways to reach a tool of the sample server that is not granted, as requests that a policy must judge. Granted are `search_docs`
 * and `count`, never `delete_everything`. The unit tests try them on the policy alone, the escape tests from inside a sandbox on
 * a server that would carry them out.
 */
import { gzipSync } from "node:zlib";
import type { HeaderList } from "../../src/exchange/index.ts";
import { callText } from "../unit/mcp/rig.ts";

export interface ToolAttack {
  name: string;
  bytes: string | Uint8Array;
  method?: string;
  headers?: HeaderList;
}

/** The tools that are granted where these are tried */
export const granted: string[] = ["search_docs", "count"];

export const json: HeaderList = [["content-type", "application/json"]];
const deny = callText("delete_everything");
const allowed = callText("search_docs", 7);
const withHeaders = (...headers: [string, string][]): HeaderList => [...json, ...headers];
const utf8 = (text: string): Buffer => Buffer.from(text);
const utf16be = (text: string): Buffer => Buffer.from(text, "utf16le").swap16();
const utf32 = (text: string): Buffer => {
  const bytes = Buffer.alloc(text.length * 4);
  Array.from(text).forEach((letter, at) => bytes.writeUInt32LE(letter.codePointAt(0) ?? 0, at * 4));
  return bytes;
};
const rpc = (rest: string): string => `{"jsonrpc":"2.0","id":1,${rest}}`;
const params = '"params":{"name":"delete_everything","arguments":{}}';

/** Answered as a denied call */
export const denied: readonly ToolAttack[] = [
  { name: "a plain call", bytes: deny },
  { name: "escapes in the method", bytes: rpc(`"method":"\\u0074ools\\u002fcall",${params}`) },
  {
    name: "escapes in the keys",
    bytes: rpc('"m\\u0065thod":"tools/call","param\\u0073":{"n\\u0061me":"delete_everything"}'),
  },
  {
    name: "escapes in the name",
    bytes: rpc('"method":"tools/call","params":{"name":"\\u0064elete_everything"}'),
  },
  { name: "another case of an allowed name", bytes: callText("Search_docs") },
  { name: "an allowed name with a space", bytes: callText("search_docs ") },
  { name: "a look-alike of an allowed name", bytes: callText("s\u0435arch_docs") },
  { name: "an allowed name, decomposed differently", bytes: callText("search_docs\u0301") },
  { name: "an allowed name with a NUL", bytes: callText("search_docs\0") },
  { name: "an encoded header word as name", bytes: callText("=?base64?c2VhcmNoX2RvY3M=?=") },
  { name: "an inherited name", bytes: callText("__proto__") },
  { name: "white space around everything", bytes: ` \r\n\t${deny}\n ` },
  { name: "an id as text", bytes: callText("delete_everything", "a") },
  { name: "a batch that hides it", bytes: `[${allowed},${deny}]` },
  { name: "a batch that hides it first", bytes: `[${deny},${allowed}]` },
  {
    name: "agreeing headers",
    bytes: deny,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "delete_everything"]),
  },
];

/** Refused with `mcp_invalid` */
export const invalid: readonly ToolAttack[] = [
  { name: "two methods, the last one calls", bytes: rpc(`"method":"ping","method":"tools/call",${params}`) },
  { name: "two methods, the first one calls", bytes: rpc(`"method":"tools/call","method":"ping",${params}`) },
  { name: "two methods, one escaped", bytes: rpc(`"method":"ping","m\\u0065thod":"tools/call",${params}`) },
  { name: "two params", bytes: rpc(`"method":"tools/call","params":{"name":"search_docs"},${params}`) },
  {
    name: "two names",
    bytes: rpc('"method":"tools/call","params":{"name":"search_docs","name":"delete_everything"}'),
  },
  { name: "two ids", bytes: `{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call",${params}}` },
  { name: "two versions", bytes: rpc(`"jsonrpc":"2.0","method":"tools/call",${params}`) },
  {
    name: "a key twice in the arguments",
    bytes: rpc('"method":"tools/call","params":{"name":"search_docs","arguments":{"a":1,"a":2}}'),
  },
  { name: "a second key in another case", bytes: rpc(`"method":"ping","Method":"tools/call",${params}`) },
  { name: "a key in another case", bytes: rpc(`"METHOD":"tools/call",${params}`) },
  {
    name: "a name key in another case",
    bytes: rpc('"method":"tools/call","params":{"name":"search_docs","Name":"delete_everything"}'),
  },
  {
    name: "a key with a long s",
    bytes: rpc(
      '"method":"tools/call","params":{"name":"search_docs"},"param\u017f":{"name":"delete_everything"}',
    ),
  },
  {
    name: "a key with a lone surrogate",
    bytes: rpc('"method":"tools/call","params":{"name":"search_docs","\\ud800":1}'),
  },
  {
    name: "a name with a lone surrogate",
    bytes: rpc('"method":"tools/call","params":{"name":"delete_everything\\ud800"}'),
  },
  { name: "a method in another case", bytes: rpc(`"method":"Tools/Call",${params}`) },
  { name: "a method with a space", bytes: rpc(`"method":"tools/call ",${params}`) },
  { name: "a full-width method", bytes: rpc(`"method":"ｔools/call",${params}`) },
  {
    name: "a name that is no text",
    bytes: rpc('"method":"tools/call","params":{"name":["delete_everything"]}'),
  },
  { name: "no name", bytes: rpc('"method":"tools/call","params":{}') },
  { name: "params as an array", bytes: rpc('"method":"tools/call","params":["delete_everything"]') },
  { name: "no version", bytes: `{"id":1,"method":"tools/call",${params}}` },
  { name: "version 1.0", bytes: `{"jsonrpc":"1.0","id":1,"method":"tools/call",${params}}` },
  { name: "version as a number", bytes: `{"jsonrpc":2.0,"id":1,"method":"tools/call",${params}}` },
  { name: "a request that is also an answer", bytes: rpc(`"result":{},"method":"tools/call",${params}`) },
  { name: "an id that is no id", bytes: `{"jsonrpc":"2.0","id":{"a":1},"method":"tools/call",${params}}` },
  {
    name: "an id too large to be exact",
    bytes: `{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call",${params}}`,
  },
  { name: "a second message behind the first", bytes: `${allowed}\n${deny}` },
  { name: "a batch in a batch", bytes: `[[${deny}]]` },
  { name: "an empty batch", bytes: "[]" },
  { name: "a batch with one id twice", bytes: `[${callText("search_docs", 1)},${callText("count", 1)}]` },
  { name: "a comment", bytes: `/**/${deny}` },
  { name: "single quotes", bytes: deny.replaceAll('"', "'") },
  { name: "a trailing comma", bytes: deny.replace(/}$/, ",}") },
  { name: "a byte order mark", bytes: Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), utf8(deny)]) },
  { name: "UTF-16", bytes: Buffer.from(deny, "utf16le") },
  { name: "UTF-16 with a mark", bytes: Buffer.from(`\uFEFF${deny}`, "utf16le") },
  { name: "UTF-16, big end first", bytes: utf16be(`\uFEFF${deny}`) },
  { name: "UTF-32", bytes: utf32(deny) },
  {
    name: "bytes that are not UTF-8",
    bytes: Buffer.concat([utf8(deny).subarray(0, -1), Buffer.from([0xff]), utf8("}")]),
  },
  {
    name: "an overlong form",
    bytes: Buffer.from(deny.replace("delete_everything", "\u0000\u0000elete_everything"), "latin1").map(
      (b) => (b === 0 ? 0xc1 : b),
    ),
  },
  {
    name: "nesting without end",
    bytes: rpc(
      `"method":"tools/call","params":{"name":"search_docs","arguments":${"[".repeat(5_000)}${"]".repeat(5_000)}}`,
    ),
  },
  { name: "a charset", bytes: deny, headers: [["content-type", "application/json; charset=utf-16"]] },
  {
    name: "an extended charset",
    bytes: deny,
    headers: [["content-type", "application/json; charset*=utf-16''x"]],
  },
  { name: "another content type", bytes: deny, headers: [["content-type", "text/plain"]] },
  {
    name: "a form",
    bytes: `message=${encodeURIComponent(deny)}`,
    headers: [["content-type", "application/x-www-form-urlencoded"]],
  },
  { name: "no content type", bytes: deny, headers: [] },
  { name: "two content types", bytes: deny, headers: [["content-type", "text/plain"], ...json] },
  { name: "two content types, ours first", bytes: deny, headers: [...json, ["content-type", "text/plain"]] },
  { name: "gzip", bytes: gzipSync(deny), headers: withHeaders(["content-encoding", "gzip"]) },
  { name: "an encoding that is a lie", bytes: deny, headers: withHeaders(["content-encoding", "br"]) },
  {
    name: "identity and something more",
    bytes: deny,
    headers: withHeaders(["content-encoding", "identity, gzip"]),
  },
  { name: "nothing", bytes: "" },
  { name: "a number", bytes: "1" },
  { name: "another interface", bytes: '{"tool":"delete_everything"}' },
  { name: "PUT", method: "PUT", bytes: deny },
  { name: "GET with a body", method: "GET", bytes: deny },
  { name: "DELETE with a body", method: "DELETE", bytes: deny },
  { name: "a method of its own", method: "CALL", bytes: deny },
];

/** Answered as headers that do not agree */
export const mismatches: readonly ToolAttack[] = [
  {
    name: "an allowed name in the header",
    bytes: deny,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "search_docs"]),
  },
  {
    name: "a denied name in the header",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "delete_everything"]),
  },
  {
    name: "another method in the header",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/list"]),
  },
  {
    name: "a method in another case",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "Tools/Call"], ["mcp-name", "search_docs"]),
  },
  {
    name: "an encoded name that differs",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "=?base64?ZGVsZXRlX2V2ZXJ5dGhpbmc=?="]),
  },
  {
    name: "base64 that is not canonical",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "=?base64?c2VhcmNoX2RvY3N=?="]),
  },
  {
    name: "base64 in another case",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "=?BASE64?c2VhcmNoX2RvY3M=?="]),
  },
  {
    name: "a name twice",
    bytes: allowed,
    headers: withHeaders(
      ["mcp-method", "tools/call"],
      ["mcp-name", "search_docs"],
      ["mcp-name", "delete_everything"],
    ),
  },
  {
    name: "a method twice",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-method", "ping"], ["mcp-name", "search_docs"]),
  },
  {
    name: "no name in the new era",
    bytes: allowed,
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"], ["mcp-method", "tools/call"]),
  },
  {
    name: "no method in the new era",
    bytes: allowed,
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"], ["mcp-name", "search_docs"]),
  },
  {
    name: "neither in the new era",
    bytes: allowed,
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"]),
  },
  {
    name: "a batch in the new era",
    bytes: `[${allowed}]`,
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"], ["mcp-method", "tools/call"]),
  },
  {
    name: "headers that agree with the first of two",
    bytes: `[${allowed},${deny}]`,
    headers: withHeaders(
      ["mcp-protocol-version", "2026-07-28"],
      ["mcp-method", "tools/call"],
      ["mcp-name", "search_docs"],
    ),
  },
  {
    name: "a version twice",
    bytes: allowed,
    headers: withHeaders(
      ["mcp-protocol-version", "2026-07-28"],
      ["mcp-protocol-version", "2026-07-28"],
      ["mcp-method", "tools/call"],
      ["mcp-name", "search_docs"],
    ),
  },
  {
    name: "a denied name in the only header",
    bytes: allowed,
    headers: withHeaders(["mcp-name", "delete_everything"]),
  },
  {
    name: "two names of what has none",
    bytes: rpc('"method":"ping"'),
    headers: withHeaders(["mcp-method", "ping"], ["mcp-name", "a"], ["mcp-name", "b"]),
  },
  {
    name: "another version in the body",
    bytes: rpc(
      '"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-06-18"}}',
    ),
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"], ["mcp-method", "tools/list"]),
  },
];
