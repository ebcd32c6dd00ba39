/** MCP through the gateway: the tools, the number of calls and the sessions that a sandbox was granted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { docs } from "../../helpers/gateway-client.ts";
import { reply, startGateway, type Sandbox } from "../../helpers/gateway-rig.ts";
import { eventually } from "../../helpers/hub.ts";

function rpc(sandbox: Sandbox, method: string, params: unknown, headers: Record<string, string> = {}) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 7, method, params });
  const type = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  return sandbox.ask(`https://${docs}/mcp`, { method: "POST", headers: { ...type, ...headers }, body });
}

const json = { "content-type": "application/json" };

test("a tool outside the grant is denied with the request's id, reaches nobody, and is in the audit and told", async () => {
  await using rig = startGateway();
  rig.local.answer = () =>
    reply(200, JSON.stringify({ jsonrpc: "2.0", id: 7, result: { content: [] } }), json);
  const sandbox = await rig.attach([{ host: "docs", tools: ["search"] }]);
  const denied = await rpc(sandbox, "tools/call", { name: "drop", arguments: {} });
  const { id, error } = JSON.parse(denied.text) as { id: number; error: { data: { reason: string } } };
  assert.deepEqual([denied.status, id, error.data.reason], [200, 7, "tool_not_allowed"]);
  assert.equal(rig.local.seen.length, 0);
  await rpc(sandbox, "tools/call", { name: "search", arguments: { q: 1 } });
  assert.equal(sandbox.attachment.calls, 1);
  await eventually(async () => sandbox.told.length === 2 && rig.audit.length === 4);
  assert.deepEqual(
    sandbox.told.map(({ tool, decision, reason, outcome }) => [tool, decision, reason, outcome]),
    [
      ["drop", "deny", "tool_not_allowed", null],
      ["search", "allow", "granted", "answered"],
    ],
  );
  const calls = rig.audit.filter(({ kind }) => kind === "call");
  const decisions = rig.audit.filter(({ kind }) => kind === "decision");
  assert.deepEqual(
    calls.map(({ tool, reason, rule, outcome }) => [tool, reason, rule, outcome]),
    [
      ["drop", "tool_not_allowed", "job", undefined],
      ["search", "granted", "job", "answered"],
    ],
  );
  assert.deepEqual(
    calls.map(({ requestId }) => requestId),
    decisions.map(({ requestId }) => requestId),
  );
  assert.equal(calls[1]?.arguments, "digest-7");
  assert.deepEqual([decisions[1]?.way, decisions[1]?.status], ["local", 200]);
  assert.ok((decisions[1]?.bytesIn ?? 0) > 50 && (decisions[1]?.bytesOut ?? 0) > 20);
  await rpc(sandbox, "tools/call", { name: "search" });
  await eventually(async () => rig.audit.length === 6);
  assert.deepEqual(
    rig.audit.slice(4).map(({ arguments: digest }) => digest),
    [undefined, undefined],
    "nothing to digest",
  );
});

test("calls are counted when they are admitted, and limited in number and in rate", async () => {
  let now = 0;
  await using rig = startGateway({}, () => now);
  rig.local.answer = () =>
    reply(200, JSON.stringify({ jsonrpc: "2.0", id: 7, result: { content: [] } }), json);
  const reason = async (sandbox: Sandbox): Promise<string> => {
    const { text } = await rpc(sandbox, "tools/call", { name: "any", arguments: {} });
    const { error } = JSON.parse(text) as { error?: { data: { reason: string } } };
    return error?.data.reason ?? "answered";
  };
  const few = await rig.attach([{ host: "docs", maxCalls: 2 }], "few");
  assert.deepEqual(
    [await reason(few), await reason(few), await reason(few)],
    ["answered", "answered", "call_limit_exceeded"],
  );
  assert.equal(few.attachment.calls, 2);
  const slow = await rig.attach([{ host: "docs", rate: 0.5 }], "slow");
  assert.deepEqual([await reason(slow), await reason(slow)], ["answered", "call_rate_exceeded"]);
  now += 2_000;
  assert.equal(await reason(slow), "answered");
  const limits = rig.audit.filter(({ kind, decision }) => kind === "call" && decision === "deny");
  assert.deepEqual(
    limits.map(({ rule }) => rule),
    ["limit", "limit"],
  );
});

test("where calls are counted, a call that cannot be read as one is refused, not let past the count", async () => {
  await using rig = startGateway();
  const hidden = { "content-type": "text/plain" };
  for (const limit of [{ maxCalls: 1 }, { rate: 1 }, { tools: ["any"] }]) {
    const sandbox = await rig.attach([{ host: "docs", ...limit }], JSON.stringify(limit));
    const { status, text } = await rpc(sandbox, "tools/call", { name: "any" }, hidden);
    assert.deepEqual([status, (JSON.parse(text) as { error: string }).error], [400, "mcp_invalid"]);
  }
  assert.equal(rig.local.seen.length, 0);
  const free = await rig.attach([{ host: "docs" }], "free");
  assert.equal((await rpc(free, "tools/call", { name: "any" }, hidden)).status, 200, "control");
});

test("an MCP session serves only the sandbox that it was given to", async () => {
  await using rig = startGateway();
  rig.local.answer = () => reply(200, "{}", { ...json, "mcp-session-id": "s-1" });
  const [one, other] = [
    await rig.attach([{ host: "docs" }], "one"),
    await rig.attach([{ host: "docs" }], "other"),
  ];
  await rpc(one, "initialize", {});
  const mine = { "mcp-session-id": "s-1" };
  assert.equal((await rpc(one, "ping", {}, mine)).status, 200);
  const before = rig.local.seen.length;
  for (const headers of [mine, { "mcp_session-id": "s-1" }, { "mcp-session-id": "guess" }]) {
    const { status, text } = await rpc(other, "ping", {}, headers);
    assert.deepEqual([status, (JSON.parse(text) as { error: string }).error], [404, "mcp_session_unknown"]);
  }
  assert.equal(rig.local.seen.length, before);
});
