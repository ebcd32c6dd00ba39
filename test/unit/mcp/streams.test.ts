import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { HttpResponse } from "../../../src/exchange/index.ts";
import { callText, eventsAnswer, jsonAnswer, rig } from "./rig.ts";
import { answered, event } from "./upstream-messages.ts";

const progress = event('{"jsonrpc":"2.0","method":"notifications/progress"}');

async function* breaking(...chunks: Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
  throw new Error("reset");
}

/** The reply to a call as it comes, where `ask` reads all of it. */
async function callOf({ forward }: ReturnType<typeof rig>): Promise<HttpResponse> {
  const body = Readable.from([Buffer.from(callText("search"))]);
  const headers = [["content-type", "application/json"]] as const;
  const request = { id: "r", method: "POST", host: "h", target: "/", headers, body };
  return await forward(request, new AbortController().signal);
}

test("an answer that breaks off is an unknown outcome, in JSON and in events", async () => {
  const half = Buffer.from(answered(1).slice(0, 20));
  const json = rig({ script: () => ({ ...jsonAnswer(""), body: Readable.from(breaking(half)) }) });
  assert.equal((await json.ask({ bytes: callText("search") })).json.error.data.reason, "outcome_unknown");
  for (const chunks of [breaking(progress, half), [progress]]) {
    const at = rig({ script: () => eventsAnswer(chunks) });
    const { bytes, text } = await at.ask({ bytes: callText("search") });
    assert.deepEqual(bytes.subarray(0, progress.length), progress);
    const last = text.trimEnd().split("\n").at(-1)?.slice("data: ".length) ?? "";
    assert.equal(JSON.parse(last).error.data.reason, "outcome_unknown");
    assert.deepEqual(
      at.ended.map(({ outcome }) => outcome),
      ["unknown"],
    );
  }
});

test("an event without its end is none: it is left out, and what the caller is told stands for itself", async () => {
  const whole = event(answered(1)).toString();
  for (const piece of [
    whole.slice(0, 20),
    whole.slice(0, -2),
    whole.slice(0, -1),
    ": still here\n",
    "event: message\n",
  ]) {
    const at = rig({ script: () => eventsAnswer([progress, Buffer.from(piece)]) });
    const { text } = await at.ask({ bytes: callText("search") });
    const told = text.slice(progress.length);
    assert.match(told, /^event: message\ndata: \{[^\n]*"reason":"outcome_unknown"[^\n]*\}\n\n$/);
    assert.deepEqual(
      at.ended.map(({ outcome }) => outcome),
      ["unknown"],
    );
  }
});

test("a stream that can be resumed just ends, so that the answer can still come", async () => {
  const primed = event("{}", "id: 9\n");
  const at = rig({ script: () => eventsAnswer(breaking(primed)) });
  assert.deepEqual((await at.ask({ bytes: callText("search") })).bytes, primed);
  assert.deepEqual(
    at.ended.map(({ outcome }) => outcome),
    ["unknown"],
  );
});

test("an event is passed on before the next one comes", async () => {
  let more: (() => void) | undefined;
  const waits = new Promise<void>((resolve) => (more = resolve));
  const first = event('{"jsonrpc":"2.0","method":"notifications/progress"}');
  async function* slow(): AsyncGenerator<Buffer> {
    yield first;
    await waits;
    yield event(answered(1));
  }
  const at = rig({ script: () => eventsAnswer(slow()) });
  const response = await callOf(at);
  const iterator = response.body[Symbol.asyncIterator]();
  assert.deepEqual((await iterator.next()).value, first);
  assert.equal(at.ended.length, 0);
  more?.();
  await iterator.next();
  assert.equal(at.ended[0]?.outcome, "answered");
  await iterator.return?.();
});

test("a caller that leaves in mid-stream ends the upstream's stream too", async () => {
  const source = new Readable({ read: () => undefined });
  source.push(event("{}"));
  const at = rig({ script: () => ({ ...eventsAnswer([]), body: source }) });
  const response = await callOf(at);
  for await (const _ of response.body) break;
  assert.equal(source.destroyed, true);
  assert.deepEqual(
    at.ended.map(({ outcome }) => outcome),
    ["unknown"],
  );
});

test("a long answer of a call streams on, and a caller sees all of it", async () => {
  const chunk = Buffer.alloc(2 ** 20, "x");
  const chunks = Array.from({ length: 20 }, () => chunk);
  const at = rig({
    tools: null,
    script: () => ({ ...jsonAnswer(""), body: Readable.from(chunks, { objectMode: false }) }),
  });
  assert.equal((await at.ask({ bytes: callText("search") })).bytes.length, 20 * 2 ** 20);
  assert.equal(at.ended[0]?.outcome, "answered");
  const body = Readable.from(chunks, { objectMode: false });
  const strict = rig({ script: () => ({ ...jsonAnswer(""), body }) });
  assert.equal((await strict.ask({ bytes: callText("search") })).json.error.data.reason, "outcome_unknown");
  assert.ok(body.destroyed, "what is not passed on is cut");
});

test("an event without end is passed on unread where all tools may be called, and ends the stream elsewhere", async () => {
  const chunks = [Buffer.from("data: "), ...Array.from({ length: 20 }, () => Buffer.alloc(2 ** 20, "x"))];
  const source = (): Readable => Readable.from(chunks, { objectMode: false });
  const free = rig({ tools: null, script: () => ({ ...eventsAnswer([]), body: source() }) });
  const { bytes } = await free.ask({ bytes: callText("search") });
  assert.ok(bytes.equals(Buffer.concat(chunks)));
  assert.equal(free.ended[0]?.outcome, "answered");
  const body = source();
  const strict = rig({ script: () => ({ ...eventsAnswer([]), body }) });
  const { text } = await strict.ask({ bytes: callText("search") });
  assert.ok(text.length < 1_000 && text.includes("outcome_unknown"), text.slice(0, 1_000));
  assert.ok(body.destroyed);
});
