import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import type { HttpResponse } from "../../../src/exchange/index.ts";
import { callText, eventsAnswer, jsonAnswer, listText, rig, type Script } from "./rig.ts";
import { answered, event } from "./upstream-messages.ts";

test("an allowed call arrives byte for byte, compressed replies are not asked for", async () => {
  const bytes = `{ "jsonrpc":"2.0", "method":"tools/call","id":"ü","params":{"arguments":{"q": "ä"},"name":"search"}}`;
  const at = rig();
  const headers: [string, string][] = [
    ["content-type", "application/json; charset=UTF-8"],
    ["accept-encoding", "gzip, br"],
    ["mcp-session-id", "s1"],
  ];
  const reply = await at.ask({ bytes, headers });
  assert.equal(reply.json.id, "ü");
  assert.equal(at.sent[0]?.body.toString(), bytes);
  const sent = Object.fromEntries(at.sent[0]?.request.headers ?? []);
  assert.equal(sent["accept-encoding"], "identity");
  assert.equal(sent["content-length"], String(Buffer.byteLength(bytes)));
  assert.equal(sent["mcp-session-id"], "s1");
  assert.equal(at.ended.length, 1);
  assert.equal(at.ended[0]?.outcome, "answered");
  assert.equal(Buffer.from(at.ended[0]?.call.arguments ?? []).toString(), '{"q": "ä"}');
  assert.equal(at.ended[0]?.call.requestId, "req-1");
});

test("headers that agree with the body pass, in every era and form", async () => {
  const asked = (method: string, params: object): string =>
    JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const version = { _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } };
  const cases: [headers: Record<string, string>, bytes: string][] = [
    [{ "mcp-method": "tools/call", "mcp-name": "search" }, callText("search")],
    [{ "mcp-method": "tools/call", "mcp-name": "=?base64?c2VhcmNo?=" }, callText("search")],
    [{ "mcp-method": "toString" }, asked("toString", {})],
    [{ "mcp-method": "tools/list" }, asked("tools/list", version)],
    [{ "mcp-protocol-version": "2025-06-18" }, callText("search")],
    [{ "mcp-protocol-version": "draft" }, callText("search")],
    [{ "mcp-protocol-version": "", "mcp-method": "tools/call" }, callText("search")],
  ];
  for (const [mirrored, bytes] of cases) {
    const at = rig();
    const all = { "content-type": "application/json", "mcp-protocol-version": "2026-07-28", ...mirrored };
    const headers = Object.entries(all).filter(([, value]) => value !== "");
    assert.equal((await at.ask({ bytes, headers })).status, 200, JSON.stringify(mirrored));
    assert.equal(at.sent.length, 1);
  }
  const unsaid = rig();
  const headers = [
    ["content-type", "application/json"],
    ["mcp-method", "tools/list"],
  ] as const;
  assert.equal((await unsaid.ask({ bytes: asked("tools/list", version), headers })).status, 200);
});

test("how a call came out is told once, as the answer says", async () => {
  const cases: [HttpResponse, string][] = [
    [jsonAnswer(answered(1)), "answered"],
    [jsonAnswer(answered(1, { isError: true, content: [] })), "tool_error"],
    [jsonAnswer({ jsonrpc: "2.0", id: 1, error: { code: -32602, message: "no" } }), "rpc_error"],
    [
      jsonAnswer({ jsonrpc: "2.0", id: null, error: { code: -32001, message: "Session not found" } }, 404),
      "failed",
    ],
    [jsonAnswer("{}", 500), "failed"],
    [jsonAnswer("{}", 400), "failed"],
    [{ ...jsonAnswer("no", 400), headers: [["content-type", "text/plain"]] }, "failed"],
    [{ ...jsonAnswer("yes"), headers: [["content-type", "text/plain"]] }, "answered"],
    [jsonAnswer({ jsonrpc: "2.0", id: 1, error: { code: 1, data: { reason: "other" } } }), "rpc_error"],
    [jsonAnswer(answered(2)), "unknown"],
    [
      jsonAnswer({ jsonrpc: "2.0", id: 1, error: { code: -32000, data: { reason: "outcome_unknown" } } }),
      "unknown",
    ],
    [{ status: 202, headers: [], body: Readable.from([]) }, "unknown"],
    [{ status: 204, headers: [], body: Readable.from([]) }, "unknown"],
    [
      eventsAnswer([event('{"jsonrpc":"2.0","method":"notifications/progress"}'), event(answered(1))]),
      "answered",
    ],
    [eventsAnswer([event(answered(1, { isError: true }))]), "tool_error"],
  ];
  for (const [response, outcome] of cases) {
    const at = rig({ script: () => response });
    await at.ask({ bytes: callText("search") });
    assert.deepEqual(
      at.ended.map((end) => end.outcome),
      [outcome],
    );
  }
});

test("an upstream's own error reply passes as it is", async () => {
  const script = () => jsonAnswer('{"error":"no such session"}', 404);
  const reply = await rig({ script }).ask({ bytes: callText("search") });
  assert.deepEqual([reply.status, reply.text], [404, '{"error":"no such session"}']);
});

test("a call whose way broke is answered by whether it may have arrived, and is never sent again", async () => {
  const broke =
    (details: object): Script =>
    () => {
      throw new SallyportError("route_unavailable", "no connector", {
        details: { layer: "edge", ...details },
      });
    };
  const sent = rig({ script: broke({ sent: true }) });
  const { status, json } = await sent.ask({ bytes: callText("search", "a") });
  assert.equal(status, 200);
  assert.equal(json.id, "a");
  assert.deepEqual(json.error.data, {
    reason: "outcome_unknown",
    layer: "edge",
    requestId: "req-1",
    retryable: false,
    tool: "search",
  });
  const unsent = rig({ script: broke({ sent: false }) });
  const failed = await unsent.ask({ bytes: callText("search") });
  assert.equal(failed.json.error.data.reason, "route_unavailable");
  assert.equal(failed.json.error.data.retryable, true);
  assert.deepEqual(
    [sent, unsent].map((at) => [at.sent.length, at.ended.map(({ outcome }) => outcome)]),
    [
      [1, ["unknown"]],
      [1, ["failed"]],
    ],
  );
  await assert.rejects(rig({ script: broke({ sent: true }) }).ask({ bytes: listText() }), {
    code: "route_unavailable",
  });
});

test("a session that is gone keeps its own error, by which a client begins a new one", async () => {
  const at = rig({
    script: () => {
      throw new SallyportError("mcp_session_unknown", "gone", {
        details: { layer: "upstream", sent: false },
      });
    },
  });
  await assert.rejects(at.ask({ bytes: callText("search") }), { code: "mcp_session_unknown" });
  assert.deepEqual(
    at.ended.map(({ outcome }) => outcome),
    ["failed"],
  );
});

test("limits answer like a denied tool, and each call of a batch is asked for", async () => {
  let left = 1;
  const admit = () =>
    left-- > 0
      ? ({ allow: true } as const)
      : ({ allow: false, code: "call_limit_exceeded", reason: "no more" } as const);
  const at = rig({ rule: { admit } });
  const { batch } = await at.ask({
    bytes: `[${callText("search", 1)},${callText("count", 2)},${listText(3)}]`,
  });
  assert.deepEqual(
    batch.map((entry) => [entry.id, entry.error.data.reason, entry.error.data.tool]),
    [
      [1, "call_limit_exceeded", "count"],
      [2, "call_limit_exceeded", "count"],
      [3, "call_limit_exceeded", "count"],
    ],
  );
  assert.equal(at.sent.length, 0);
  assert.equal(at.ended.length, 2);
});

test("what is no MCP passes untouched where tools are not restricted", async () => {
  const form = Buffer.from("grant_type=client_credentials");
  const headers: [string, string][] = [
    ["content-type", "application/x-www-form-urlencoded"],
    ["accept-encoding", "gzip"],
  ];
  const reply = { ...jsonAnswer('{"access_token":"t"}'), status: 201 };
  const at = rig({ tools: null, script: () => reply });
  const got = await at.ask({ bytes: form, headers, target: "/token" });
  assert.deepEqual([got.status, got.text], [201, '{"access_token":"t"}']);
  assert.deepEqual(at.sent[0]?.request.headers, headers);
  assert.equal((await at.ask({ method: "DELETE", headers: [] })).status, 201);
});

test("answers to the upstream's own requests and other methods pass", async () => {
  const at = rig();
  for (const bytes of [
    answered(5, { action: "accept" }),
    '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a"}}',
  ]) {
    await at.ask({ bytes });
    assert.equal(at.sent.at(-1)?.body.toString(), bytes);
  }
});
