/** What a sandbox or an upstream can make the policy hold: about the bytes that it sends, however they are written or cut. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { heldBy } from "../../helpers/heap.ts";
import { callText, eventsAnswer, listText, rig } from "./rig.ts";

/** A body without an end, all of whose bytes came one by one. */
async function crumbs(bytes: number, body: Readable): Promise<void> {
  for (let at = 0; at < bytes; at += 1) {
    body.push(Buffer.from(" "));
    if (at % 4_096 === 0) await setImmediate();
  }
  await setImmediate();
}

test("a body or an event that comes in crumbs takes no more room than its bytes", async () => {
  const bytes = 2 ** 18;
  const body = new Readable({ read: () => undefined });
  const uploaded = await heldBy(async () => {
    const asked = rig().ask({ body });
    asked.catch(() => undefined);
    await crumbs(bytes, body);
    return [asked, body];
  });
  body.destroy();
  const streamed = await heldBy(async () => {
    const events = new Readable({ read: () => undefined });
    const at = rig({ script: () => ({ ...eventsAnswer([]), body: events }) });
    const asked = at.ask({ bytes: listText() });
    await setImmediate();
    await crumbs(bytes, events);
    return [asked, events];
  });
  for (const held of [uploaded, streamed]) assert.ok(held < 16, `${held} MiB for ${bytes} bytes`);
});

test("the arguments of a call are not held as values until its answer comes", async () => {
  const args = { many: Array.from({ length: 200_000 }, () => ({})) };
  const held = await heldBy(async () => {
    const answer = Promise.withResolvers<never>();
    const asked = rig({ script: () => answer.promise }).ask({ bytes: callText("search", 1, args) });
    for (let turn = 0; turn < 8; turn += 1) await setImmediate();
    return [asked, answer, args];
  });
  assert.ok(held < 4, `${held} MiB`);
});

test("the name of a denied tool is not repeated at its full length for each message of its batch", async () => {
  const pings = Array.from({ length: 999 }, (_each, id) => `{"jsonrpc":"2.0","id":${id},"method":"ping"}`);
  const bytes = `[${callText("x".repeat(2 ** 16), "call")},${pings.join(",")}]`;
  const { batch, text } = await rig().ask({ bytes });
  assert.deepEqual([batch.length, batch[0]?.error.data.tool], [1_000, "x".repeat(128)]);
  assert.ok(text.length < 2 ** 20, `${text.length} characters`);
});

test("a batch of more messages than any client sends is not read", async () => {
  const batch = (length: number): string =>
    `[${Array.from({ length }, (_each, id) => `{"jsonrpc":"2.0","id":${id},"method":"ping"}`).join(",")}]`;
  await assert.rejects(rig().ask({ bytes: batch(1_001) }), { code: "mcp_invalid" });
  const largest = rig();
  await largest.ask({ bytes: batch(1_000) });
  const open = rig({ tools: null });
  await open.ask({ bytes: batch(1_001) });
  assert.deepEqual([largest.sent.length, open.sent.length], [1, 1]);
});
