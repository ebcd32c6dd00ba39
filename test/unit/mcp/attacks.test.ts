/** Ways to reach a denied tool. Each is tried against a policy with an upstream that must see nothing, and without a policy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { HeaderList } from "../../../src/exchange/index.ts";
import { callText, eventsAnswer, rig, type Reply } from "./rig.ts";

interface Attack {
  name: string;
  bytes: string | Uint8Array;
  method?: string;
  headers?: HeaderList;
}

const json: HeaderList = [["content-type", "application/json"]];
const deny = callText("delete");
const allowed = callText("search", 7);
const withHeaders = (...headers: [string, string][]): HeaderList => [...json, ...headers];
const utf8 = (text: string): Buffer => Buffer.from(text);
const utf16be = (text: string): Buffer => Buffer.from(text, "utf16le").swap16();
const utf32 = (text: string): Buffer => {
  const bytes = Buffer.alloc(text.length * 4);
  Array.from(text).forEach((letter, at) => bytes.writeUInt32LE(letter.codePointAt(0) ?? 0, at * 4));
  return bytes;
};
const rpc = (rest: string): string => `{"jsonrpc":"2.0","id":1,${rest}}`;
const params = '"params":{"name":"delete","arguments":{}}';

/** Answered as a denied call */
const denied: Attack[] = [
  { name: "a plain call", bytes: deny },
  { name: "escapes in the method", bytes: rpc(`"method":"\\u0074ools\\u002fcall",${params}`) },
  {
    name: "escapes in the keys",
    bytes: rpc('"m\\u0065thod":"tools/call","param\\u0073":{"n\\u0061me":"delete"}'),
  },
  { name: "escapes in the name", bytes: rpc('"method":"tools/call","params":{"name":"\\u0064elete"}') },
  { name: "another case of an allowed name", bytes: callText("Search") },
  { name: "an allowed name with a space", bytes: callText("search ") },
  { name: "a look-alike of an allowed name", bytes: callText("s\u0435arch") },
  { name: "an allowed name, decomposed differently", bytes: callText("search\u0301") },
  { name: "an allowed name with a NUL", bytes: callText("search\0") },
  { name: "an encoded header word as name", bytes: callText("=?base64?c2VhcmNo?=") },
  { name: "an inherited name", bytes: callText("__proto__") },
  { name: "white space around everything", bytes: ` \r\n\t${deny}\n ` },
  { name: "an id as text", bytes: callText("delete", "a") },
  { name: "a batch that hides it", bytes: `[${allowed},${deny}]` },
  { name: "a batch that hides it first", bytes: `[${deny},${allowed}]` },
  {
    name: "agreeing headers",
    bytes: deny,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "delete"]),
  },
];

/** Refused with `mcp_invalid` */
const invalid: Attack[] = [
  { name: "two methods, the last one calls", bytes: rpc(`"method":"ping","method":"tools/call",${params}`) },
  { name: "two methods, the first one calls", bytes: rpc(`"method":"tools/call","method":"ping",${params}`) },
  { name: "two methods, one escaped", bytes: rpc(`"method":"ping","m\\u0065thod":"tools/call",${params}`) },
  { name: "two params", bytes: rpc(`"method":"tools/call","params":{"name":"search"},${params}`) },
  { name: "two names", bytes: rpc('"method":"tools/call","params":{"name":"search","name":"delete"}') },
  { name: "two ids", bytes: `{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call",${params}}` },
  { name: "two versions", bytes: rpc(`"jsonrpc":"2.0","method":"tools/call",${params}`) },
  {
    name: "a key twice in the arguments",
    bytes: rpc('"method":"tools/call","params":{"name":"search","arguments":{"a":1,"a":2}}'),
  },
  { name: "a second key in another case", bytes: rpc(`"method":"ping","Method":"tools/call",${params}`) },
  { name: "a key in another case", bytes: rpc(`"METHOD":"tools/call",${params}`) },
  {
    name: "a name key in another case",
    bytes: rpc('"method":"tools/call","params":{"name":"search","Name":"delete"}'),
  },
  {
    name: "a key with a long s",
    bytes: rpc('"method":"tools/call","params":{"name":"search"},"param\u017f":{"name":"delete"}'),
  },
  {
    name: "a key with a lone surrogate",
    bytes: rpc('"method":"tools/call","params":{"name":"search","\\ud800":1}'),
  },
  {
    name: "a name with a lone surrogate",
    bytes: rpc('"method":"tools/call","params":{"name":"delete\\ud800"}'),
  },
  { name: "a method in another case", bytes: rpc(`"method":"Tools/Call",${params}`) },
  { name: "a method with a space", bytes: rpc(`"method":"tools/call ",${params}`) },
  { name: "a full-width method", bytes: rpc(`"method":"ｔools/call",${params}`) },
  { name: "a name that is no text", bytes: rpc('"method":"tools/call","params":{"name":["delete"]}') },
  { name: "no name", bytes: rpc('"method":"tools/call","params":{}') },
  { name: "params as an array", bytes: rpc('"method":"tools/call","params":["delete"]') },
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
  { name: "a batch with one id twice", bytes: `[${callText("search", 1)},${callText("count", 1)}]` },
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
    bytes: Buffer.from(deny.replace("delete", "\u0000\u0000elete"), "latin1").map((b) =>
      b === 0 ? 0xc1 : b,
    ),
  },
  {
    name: "nesting without end",
    bytes: rpc(
      `"method":"tools/call","params":{"name":"search","arguments":${"[".repeat(5_000)}${"]".repeat(5_000)}}`,
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
  { name: "gzip", bytes: gzipSync(deny), headers: withHeaders(["content-encoding", "gzip"]) },
  { name: "an encoding that is a lie", bytes: deny, headers: withHeaders(["content-encoding", "br"]) },
  {
    name: "identity and something more",
    bytes: deny,
    headers: withHeaders(["content-encoding", "identity, gzip"]),
  },
  { name: "nothing", bytes: "" },
  { name: "a number", bytes: "1" },
  { name: "another interface", bytes: '{"tool":"delete"}' },
  { name: "PUT", method: "PUT", bytes: deny },
  { name: "GET with a body", method: "GET", bytes: deny },
  { name: "DELETE with a body", method: "DELETE", bytes: deny },
  { name: "a method of its own", method: "CALL", bytes: deny },
];

/** Answered as headers that do not agree */
const mismatches: Attack[] = [
  {
    name: "an allowed name in the header",
    bytes: deny,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "search"]),
  },
  {
    name: "a denied name in the header",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "delete"]),
  },
  {
    name: "another method in the header",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/list"]),
  },
  {
    name: "a method in another case",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "Tools/Call"], ["mcp-name", "search"]),
  },
  {
    name: "an encoded name that differs",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "=?base64?ZGVsZXRl?="]),
  },
  {
    name: "base64 that is not canonical",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "=?base64?c2VhcmN?="]),
  },
  {
    name: "base64 in another case",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "=?BASE64?c2VhcmNo?="]),
  },
  {
    name: "a name twice",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-name", "search"], ["mcp-name", "delete"]),
  },
  {
    name: "a method twice",
    bytes: allowed,
    headers: withHeaders(["mcp-method", "tools/call"], ["mcp-method", "ping"], ["mcp-name", "search"]),
  },
  {
    name: "no name in the new era",
    bytes: allowed,
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"], ["mcp-method", "tools/call"]),
  },
  {
    name: "no method in the new era",
    bytes: allowed,
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"], ["mcp-name", "search"]),
  },
  {
    name: "a batch in the new era",
    bytes: `[${allowed}]`,
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"], ["mcp-method", "tools/call"]),
  },
  {
    name: "another version in the body",
    bytes: rpc(
      '"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-06-18"}}',
    ),
    headers: withHeaders(["mcp-protocol-version", "2026-07-28"], ["mcp-method", "tools/list"]),
  },
];

const attempt = (attack: Attack, tools: string[] | null, headers = attack.headers ?? json) => {
  const at = rig({ tools, script: () => eventsAnswer([]) });
  return { at, done: at.ask({ bytes: attack.bytes, method: attack.method ?? "POST", headers }) };
};

function assertDenied(attack: Attack, reply: Reply): void {
  assert.equal(reply.status, 200);
  for (const message of reply.batch) {
    assert.equal(message.error.code, -32602);
    assert.equal(message.error.data.reason, "tool_not_allowed");
    assert.equal(message.error.data.layer, "policy");
    assert.equal(message.error.data.requestId, "req-1");
  }
  const asked = JSON.parse(String(attack.bytes)) as { id: unknown } | { id: unknown }[];
  const ids = (Array.isArray(asked) ? asked : [asked]).map(({ id }) => id);
  assert.deepEqual(
    reply.batch.map(({ id }) => id),
    ids,
  );
}

for (const attack of denied) {
  test(`denied, and nothing is forwarded: ${attack.name}`, async () => {
    const { at, done } = attempt(attack, ["search", "count"]);
    assertDenied(attack, await done);
    assert.equal(at.sent.length, 0);
    assert.ok(at.ended.length > 0);
    assert.ok(at.ended.every(({ verdict, outcome }) => !verdict.allow && outcome === null));
  });
}

for (const attack of invalid) {
  test(`cannot be judged, and nothing is forwarded: ${attack.name}`, async () => {
    const { at, done } = attempt(attack, ["search", "count"]);
    await assert.rejects(done, (error: { code?: string; details?: unknown }) => {
      assert.equal(error.code, "mcp_invalid");
      assert.equal((error.details as { sent: boolean }).sent, false);
      return true;
    });
    assert.equal(at.sent.length, 0);
    assert.equal(at.ended.length, 0);
  });
}

for (const attack of mismatches) {
  test(`header and body disagree, and nothing is forwarded: ${attack.name}`, async () => {
    const { at, done } = attempt(attack, ["search", "count"]);
    const reply = await done;
    assert.equal(reply.status, 400);
    assert.equal(reply.json.error.code, -32020);
    assert.equal(at.sent.length, 0);
  });
}

for (const attack of [...denied, ...invalid]) {
  test(`control: without a rule for tools the same bytes arrive: ${attack.name}`, async () => {
    const { at, done } = attempt(attack, null);
    await done;
    assert.deepEqual(
      at.sent.map(({ body }) => body),
      [Buffer.from(attack.bytes as string)],
    );
  });
}

for (const attack of mismatches) {
  test(`control: without mirrored headers the same bytes arrive: ${attack.name}`, async () => {
    const { at, done } = attempt(attack, null, json);
    await done;
    assert.equal(at.sent.length, 1);
  });
}

test("a strict rule refuses what it cannot read for certain though it allows every tool", async () => {
  const at = rig({ tools: null, rule: { strict: true } });
  await assert.rejects(at.ask({ bytes: invalid[0]?.bytes ?? "" }), { code: "mcp_invalid" });
  assert.equal(at.sent.length, 0);
});

test("a denied call without id is refused outright", async () => {
  const at = rig();
  const bytes = `{"jsonrpc":"2.0","method":"tools/call",${params}}`;
  await assert.rejects(at.ask({ bytes }), { code: "tool_not_allowed" });
  assert.equal(at.sent.length, 0);
  assert.equal(at.ended.length, 1);
});

test("a body above the limit is refused, whatever the rule", async () => {
  const bytes = callText("search", 1, { text: "x".repeat(4 * 2 ** 20) });
  for (const tools of [["search"], null]) {
    const at = rig({ tools });
    await assert.rejects(at.ask({ bytes }), { code: "body_too_large" });
    assert.equal(at.sent.length, 0);
  }
});
