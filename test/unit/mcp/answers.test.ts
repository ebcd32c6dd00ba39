import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import type { HttpResponse } from "../../../src/exchange/index.ts";
import { callText, eventsAnswer, jsonAnswer, listText, read, rig, type Script } from "./rig.ts";

const names = (list: { name: string }[]): string[] => list.map(({ name }) => name);
const get = { method: "GET", headers: [["accept", "text/event-stream"]] as [string, string][] };
const tools = ["search", "delete", "count"].map((name) => ({ name, inputSchema: { type: "object" } }));
const listAnswer = (id: unknown = 1): string =>
  JSON.stringify({ jsonrpc: "2.0", id, result: { tools, nextCursor: "c" } });
const event = (data: string, head = ""): Buffer => Buffer.from(`${head}data: ${data}\n\n`);
const answered = (id: unknown, result: unknown = { content: [] }): string =>
  JSON.stringify({ jsonrpc: "2.0", id, result });

async function* breaking(...chunks: Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
  throw new Error("reset");
}

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

test("headers of the new era that agree pass, in both forms", async () => {
  for (const name of ["search", "=?base64?c2VhcmNo?="]) {
    const at = rig();
    const headers: [string, string][] = [
      ["content-type", "application/json"],
      ["mcp-protocol-version", "2026-07-28"],
      ["mcp-method", "tools/call"],
      ["mcp-name", name],
    ];
    assert.equal((await at.ask({ bytes: callText("search"), headers })).status, 200);
    assert.equal(at.sent.length, 1);
  }
});

test("a list shows what may be called, and what stays is not rewritten", async () => {
  const text =
    '{"jsonrpc": "2.0","result":{"tools":[ {"name":"delete"} ,{"max":18446744073709551615,"name":"search"}, {"name":1}],"nextCursor":"c"},"id":1}';
  const at = rig({ script: () => jsonAnswer(text) });
  const reply = await at.ask({ bytes: listText() });
  assert.equal(
    reply.text,
    '{"jsonrpc": "2.0","result":{"tools":[ {"max":18446744073709551615,"name":"search"}],"nextCursor":"c"},"id":1}',
  );
  assert.equal(reply.headers["content-length"], String(reply.bytes.length));
  assert.equal(at.listed[0]?.tools.length, 3);
  assert.deepEqual(at.listed[0]?.page, { first: true, last: false });
});

test("a list of nothing allowed is empty, and one of allowed tools passes untouched", async () => {
  const none = rig({ tools: [], script: () => jsonAnswer(listAnswer()) });
  assert.deepEqual((await none.ask({ bytes: listText() })).json.result, { tools: [], nextCursor: "c" });
  const all = rig({ tools: ["search", "delete", "count"], script: () => jsonAnswer(listAnswer()) });
  assert.equal((await all.ask({ bytes: listText() })).text, listAnswer());
});

test("without a rule for tools a list passes untouched, and is shown all the same", async () => {
  const at = rig({ tools: null, script: () => jsonAnswer(listAnswer()) });
  assert.equal((await at.ask({ bytes: listText() })).text, listAnswer());
  assert.equal(at.listed.length, 1);
});

test("a list the rule refuses is answered as an error", async () => {
  const listed = () => ({ allow: false, code: "tools_changed", reason: "they changed" }) as const;
  for (const tools of [["search"], null]) {
    const at = rig({ tools, rule: { listed }, script: () => jsonAnswer(listAnswer()) });
    const { json } = await at.ask({ bytes: listText() });
    assert.equal(json.error.data.reason, "tools_changed");
    assert.equal(json.id, 1);
    assert.equal(json.result, undefined);
  }
});

test("lists are filtered in events of every kind of stream, and other events pass byte for byte", async () => {
  const before = Buffer.from(': hello\r\nid: 4\r\nevent: message\r\ndata: {"a":\r\ndata: 1}\r\n\r\n');
  const list = event(listAnswer(), "event: message\nid: 5\n");
  const at = rig({ script: () => eventsAnswer([before, list]) });
  for (const request of [{ bytes: listText() }, get]) {
    const { bytes } = await at.ask(request);
    assert.deepEqual(bytes.subarray(0, before.length), before);
    const lines = bytes.subarray(before.length).toString().split("\n");
    assert.deepEqual(lines.slice(0, 2), ["event: message", "id: 5"]);
    assert.deepEqual(names(JSON.parse(lines[2]?.slice(6) ?? "").result.tools), ["search", "count"]);
  }
  assert.deepEqual(
    at.listed.map(({ page }) => page.first),
    [true, false],
  );
});

test("a list with an escaped key, in a batch, in discovery or in a document is filtered too", async () => {
  const escaped = listAnswer().replace('"tools"', '"\\u0074ools"');
  const discovered = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { catalog: { tools } } });
  const document = JSON.stringify({ name: "docs", tools });
  const batch = `[${answered(2)},${listAnswer(1)}]`;
  const ask = async (text: string, request = { bytes: listText() } as object): Promise<string> =>
    (await rig({ script: () => jsonAnswer(text) }).ask(request)).text;
  const discover = { bytes: '{"jsonrpc":"2.0","id":1,"method":"server/discover"}' };
  for (const text of [
    await ask(escaped),
    await ask(discovered, discover),
    await ask(document, { method: "GET", headers: [] }),
    await ask(batch, { bytes: `[${listText(1)},${callText("search", 2)}]` }),
  ]) {
    assert.ok(text.includes('"search"') && !text.includes("delete"), text);
  }
});

test("a tool's own result is not a list of tools", async () => {
  const text = answered(1, { content: [], structuredContent: { tools }, tools });
  const at = rig({ script: () => jsonAnswer(text) });
  assert.equal((await at.ask({ bytes: callText("search") })).text, text);
});

test("a list that cannot be read is not passed on", async () => {
  const compressed = (): HttpResponse => {
    const response = jsonAnswer(listAnswer());
    return { ...response, headers: [...response.headers, ["content-encoding", "gzip"]] };
  };
  const scripts: Record<string, Script> = {
    compressed,
    html: () => ({ ...jsonAnswer(listAnswer()), headers: [["content-type", "text/html"]] }),
    "no JSON": () => jsonAnswer(`${listAnswer()}}`),
  };
  for (const [name, script] of Object.entries(scripts)) {
    const at = rig({ script });
    await assert.rejects(at.ask({ bytes: listText() }), { code: "upstream_failed" }, name);
  }
  const twice = rig({ script: () => jsonAnswer(listAnswer().replace('{"tools"', '{"tools":[],"tools"')) });
  assert.equal((await twice.ask({ bytes: listText() })).json.error.data.reason, "mcp_invalid");
  const resumed = rig({
    script: () => ({
      ...compressed(),
      ...eventsAnswer([event(listAnswer())]),
      headers: [
        ["content-type", "text/event-stream"],
        ["content-encoding", "gzip"],
      ],
    }),
  });
  await assert.rejects(resumed.ask(get), { code: "upstream_failed" });
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
    [jsonAnswer(answered(2)), "unknown"],
    [
      jsonAnswer({ jsonrpc: "2.0", id: 1, error: { code: -32000, data: { reason: "outcome_unknown" } } }),
      "unknown",
    ],
    [{ status: 202, headers: [], body: Readable.from([]) }, "unknown"],
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

test("an answer that breaks off is an unknown outcome, in JSON and in events", async () => {
  const half = Buffer.from(answered(1).slice(0, 20));
  const json = rig({ script: () => ({ ...jsonAnswer(""), body: Readable.from(breaking(half)) }) });
  assert.equal((await json.ask({ bytes: callText("search") })).json.error.data.reason, "outcome_unknown");
  const progress = event('{"jsonrpc":"2.0","method":"notifications/progress"}');
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
  const response = await at.forward(
    {
      id: "r",
      method: "POST",
      host: "h",
      target: "/",
      headers: [["content-type", "application/json"]],
      body: Readable.from([Buffer.from(callText("search"))]),
    },
    new AbortController().signal,
  );
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
  const response = await at.forward(
    {
      id: "r",
      method: "POST",
      host: "h",
      target: "/",
      headers: [["content-type", "application/json"]],
      body: Readable.from([Buffer.from(callText("search"))]),
    },
    new AbortController().signal,
  );
  for await (const _ of response.body) break;
  assert.equal(source.destroyed, true);
  assert.deepEqual(
    at.ended.map(({ outcome }) => outcome),
    ["unknown"],
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

test("a long answer of a call streams on, and a caller sees all of it", async () => {
  const chunk = Buffer.alloc(2 ** 20, "x");
  const chunks = Array.from({ length: 20 }, () => chunk);
  const at = rig({
    tools: null,
    script: () => ({ ...jsonAnswer(""), body: Readable.from(chunks, { objectMode: false }) }),
  });
  assert.equal((await at.ask({ bytes: callText("search") })).bytes.length, 20 * 2 ** 20);
  assert.equal(at.ended[0]?.outcome, "answered");
  const strict = rig({
    script: () => ({ ...jsonAnswer(""), body: Readable.from(chunks, { objectMode: false }) }),
  });
  assert.equal((await strict.ask({ bytes: callText("search") })).json.error.data.reason, "outcome_unknown");
  assert.ok(await read(Readable.from([])));
});
