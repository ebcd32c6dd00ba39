/** Ways to reach a denied tool. Each is tried against a policy with an upstream that must see nothing, and without a policy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { denied, granted, invalid, json, mismatches, type ToolAttack } from "../../helpers/tool-attacks.ts";
import { callText, eventsAnswer, rig, type Reply } from "./rig.ts";

const attempt = (attack: ToolAttack, tools: string[] | null, headers = attack.headers ?? json) => {
  const at = rig({ tools, script: () => eventsAnswer([]) });
  return { at, done: at.ask({ bytes: attack.bytes, method: attack.method ?? "POST", headers }) };
};

function assertDenied(attack: ToolAttack, reply: Reply): void {
  assert.equal(reply.status, 200);
  assert.equal(reply.text.startsWith("["), String(attack.bytes).startsWith("["));
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
    const { at, done } = attempt(attack, granted);
    assertDenied(attack, await done);
    assert.equal(at.sent.length, 0);
    assert.ok(at.ended.length > 0);
    assert.ok(at.ended.every(({ verdict, outcome }) => !verdict.allow && outcome === null));
  });
}

for (const attack of invalid) {
  test(`cannot be judged, and nothing is forwarded: ${attack.name}`, async () => {
    const { at, done } = attempt(attack, granted);
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
    const { at, done } = attempt(attack, granted);
    const reply = await done;
    assert.equal(reply.status, 400);
    assert.equal(reply.json.error.code, -32020);
    const asked = [JSON.parse(String(attack.bytes))].flat() as { id: unknown }[];
    assert.equal(reply.json.id, asked.length === 1 ? asked[0]?.id : null);
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
  const bytes = `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"delete_everything"}}`;
  await assert.rejects(at.ask({ bytes }), { code: "tool_not_allowed" });
  assert.equal(at.sent.length, 0);
  assert.equal(at.ended.length, 1);
});

test("a body above the limit is refused, whatever the rule", async () => {
  const bytes = callText("search_docs", 1, { text: "x".repeat(4 * 2 ** 20) });
  for (const tools of [["search_docs"], null]) {
    const at = rig({ tools });
    await assert.rejects(at.ask({ bytes }), {
      code: "body_too_large",
      details: { layer: "policy", sent: false, limit: 4 * 2 ** 20 },
    });
    assert.equal(at.sent.length, 0);
  }
});
