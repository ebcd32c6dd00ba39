/** Requests that are not one call and its answer: batches, streams that are asked for with GET, and what else passes a rule. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import type { HeaderList } from "../../../src/exchange/index.ts";
import { callText, eventsAnswer, jsonAnswer, listText, rig, type Script } from "./rig.ts";
import { answered, event } from "./upstream-messages.ts";

const note = '{"jsonrpc":"2.0","method":"notifications/x"}';
const listAnswer = '{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}';
const wantsEvents = ["accept", "text/event-stream"] as const;

test("a refused batch tells every request in it why, and no answer or notification", async () => {
  const at = rig({ tools: ["search"] });
  const bytes = `[${callText("search", 1)},${callText("delete", 2)},${listText(3)},${note},${answered(9)}]`;
  const { text, batch } = await at.ask({ bytes });
  assert.ok(text.startsWith("["));
  const denied = 'the tool "delete" is not allowed here';
  const beside = `not sent, as another call of the batch: ${denied}`;
  assert.deepEqual(
    batch.map(({ id, error }) => [id, error.message]),
    [
      [1, beside],
      [2, denied],
      [3, beside],
    ],
  );
  assert.deepEqual(
    at.ended.map(({ call, verdict }) => [call.rpcId, verdict.allow || [verdict.code, verdict.reason]]),
    [
      [1, ["tool_not_allowed", beside]],
      [2, ["tool_not_allowed", denied]],
    ],
  );
  assert.ok((await at.ask({ bytes: callText("delete") })).text.startsWith("{"));
});

test("where the way broke, a call of a batch may have been carried out, and a list just failed", async () => {
  const script: Script = () => {
    throw new SallyportError("route_unavailable", "gone", { details: { sent: true } });
  };
  const at = rig({ script });
  const { text, batch } = await at.ask({ bytes: `[${callText("search", 1)},${listText(2)},${note}]` });
  assert.ok(text.startsWith("["));
  assert.deepEqual(
    batch.map(({ id, error }) => [id, error.data.reason, error.data.layer, error.message]),
    [
      [1, "outcome_unknown", "upstream", "the call may have been carried out: gone"],
      [2, "route_unavailable", "upstream", "gone"],
    ],
  );
  assert.ok((await at.ask({ bytes: callText("search") })).text.startsWith("{"));
});

test("a call is told as made only where it may have been: by what the error says, or where it says nothing of ours", async () => {
  const cases: [Error, reason: string, outcome: string][] = [
    [new SallyportError("route_unavailable", "gone"), "route_unavailable", "failed"],
    [new TypeError("odd"), "outcome_unknown", "unknown"],
  ];
  for (const [error, reason, outcome] of cases) {
    const script: Script = () => {
      throw error;
    };
    const at = rig({ script });
    assert.equal((await at.ask({ bytes: callText("search") })).json.error.data.reason, reason);
    assert.deepEqual(
      at.ended.map((end) => end.outcome),
      [outcome],
    );
  }
});

test("a stream that ends tells each request without an answer, and none that has one", async () => {
  const bytes = `[${answered(5)},${callText("search", 1)},${callText("count", 2)},${note}]`;
  const sent = [
    event("no JSON"),
    event(answered(1)),
    // the upstream's own request, with an id that one of ours has too
    event('{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage"}'),
    event("[null,1]"),
  ];
  const at = rig({ script: () => eventsAnswer(sent) });
  const { text, headers } = await at.ask({ bytes });
  const passed = Buffer.concat(sent).toString();
  assert.ok(text.startsWith(passed), text);
  const rest = text.slice(passed.length).trim().split("\n\n");
  assert.equal(rest.length, 1);
  const { id, error } = JSON.parse(rest[0]?.split("data: ")[1] ?? "");
  assert.deepEqual([id, error.data.reason], [2, "outcome_unknown"]);
  assert.deepEqual(
    at.ended.map(({ call, outcome }) => [call.rpcId, outcome]),
    [
      [1, "answered"],
      [2, "unknown"],
    ],
  );
  assert.equal(headers["content-type"], "text/event-stream");
});

test("under a rule a stream is asked for whole and plain, and otherwise as it was", async () => {
  const given: HeaderList = [
    wantsEvents,
    ["range", "bytes=5-"],
    ["if-range", "x"],
    ["accept-encoding", "gzip"],
    ["last-event-id", "4"],
  ];
  const ask = { method: "GET", target: "/events", headers: given, body: Readable.from([]) };
  const script = () => eventsAnswer([event(listAnswer)]);
  const strict = rig({ script });
  await strict.ask(ask);
  const { request } = strict.sent[0] ?? assert.fail();
  assert.deepEqual([request.method, request.target, request.body], ["GET", "/events", null]);
  assert.deepEqual(request.headers, [wantsEvents, ["last-event-id", "4"], ["accept-encoding", "identity"]]);
  const free = rig({ tools: null, script });
  await free.ask({ ...ask, body: null });
  assert.deepEqual(
    free.sent[0]?.request.headers.filter(([name]) => name.includes("range")),
    [
      ["range", "bytes=5-"],
      ["if-range", "x"],
    ],
  );
  assert.equal(free.listed.length, 1, "its lists are shown to the rule");
  const other = rig({ tools: null });
  await other.ask({ method: "GET", headers: [["accept-encoding", "gzip"]] });
  assert.deepEqual(other.sent[0]?.request.headers, [["accept-encoding", "gzip"]]);
});

test("a strict rule refuses a POST without a body and methods that MCP has not; HEAD passes", async () => {
  const at = rig({ script: () => ({ ...jsonAnswer(""), headers: [["content-type", "application/json"]] }) });
  await assert.rejects(at.ask({}), { code: "mcp_invalid" });
  await assert.rejects(at.ask({ method: "PUT" }), { code: "mcp_invalid" });
  assert.equal(at.sent.length, 0);
  assert.equal((await at.ask({ method: "HEAD" })).status, 200);
});

test("a list may be answered later, or by an error page; a page in its place is refused and cut", async () => {
  const page = (status: number): [Script, Readable] => {
    const body = new Readable({ read: () => undefined });
    body.push("<html>");
    if (status !== 200) body.push(null);
    return [() => ({ status, headers: [["content-type", "text/html"]], body }), body];
  };
  for (const status of [202, 400, 404]) {
    const [script] = page(status);
    assert.equal((await rig({ script }).ask({ bytes: listText() })).status, status);
  }
  const [script, body] = page(200);
  await assert.rejects(rig({ script }).ask({ bytes: listText() }), { code: "upstream_failed" });
  assert.ok(body.destroyed);
});
