import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpResponse } from "../../../src/exchange/index.ts";
import { callText, eventsAnswer, jsonAnswer, listText, rig, type Script } from "./rig.ts";
import { answered, event } from "./upstream-messages.ts";

const names = (list: { name: string }[]): string[] => list.map(({ name }) => name);
const get = { method: "GET", headers: [["accept", "text/event-stream"]] as [string, string][] };
const tools = ["search", "delete", "count"].map((name) => ({ name, inputSchema: { type: "object" } }));
const listAnswer = (id: unknown = 1): string =>
  JSON.stringify({ jsonrpc: "2.0", id, result: { tools, nextCursor: "c" } });

test("a list shows what may be called, and what stays is not rewritten", async () => {
  const text =
    '{"jsonrpc": "2.0","result":{"tools":[ {"name":"delete"} ,{"max":18446744073709551615,"name":"search"}, {"name":1}, null, "search"],"nextCursor":"c"},"id":1}';
  const at = rig({ script: () => jsonAnswer(text) });
  const reply = await at.ask({ bytes: listText() });
  assert.equal(
    reply.text,
    '{"jsonrpc": "2.0","result":{"tools":[ {"max":18446744073709551615,"name":"search"}],"nextCursor":"c"},"id":1}',
  );
  assert.equal(reply.headers["content-length"], String(reply.bytes.length));
  assert.equal(at.listed[0]?.tools.length, 5);
  assert.deepEqual(at.listed[0]?.page, { first: true, last: false });
});

test("a list of nothing allowed is empty, and one of allowed tools passes untouched", async () => {
  const none = rig({ tools: [], script: () => jsonAnswer(listAnswer()) });
  assert.deepEqual((await none.ask({ bytes: listText() })).json.result, { tools: [], nextCursor: "c" });
  const all = rig({ tools: ["search", "delete", "count"], script: () => jsonAnswer(listAnswer()) });
  assert.equal((await all.ask({ bytes: listText() })).text, listAnswer());
  const spaced = '{"jsonrpc":"2.0","id":1,"result":{"tools":[ {"name":"search"} , {"name":"count"} ]}}';
  const last = rig({
    script: () => ({ ...jsonAnswer(spaced), headers: [...jsonAnswer("").headers, ["etag", "e"]] }),
  });
  const reply = await last.ask({ bytes: listText() });
  assert.deepEqual([reply.text, reply.headers["etag"]], [spaced, "e"]);
  await last.ask({ bytes: '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"c"}}' });
  assert.deepEqual(
    last.listed.map(({ page }) => page),
    [
      { first: true, last: true },
      { first: false, last: true },
    ],
  );
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
    const { bytes, headers } = await at.ask(request);
    assert.ok(!Object.hasOwn(headers, "content-length"));
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

test("a changed event stays an event, whichever line ends it mixes", async () => {
  const ends = ["\n", "\r", "\r\n"];
  for (const first of ends) {
    for (const last of ends) {
      const text = `event: message${first}data: ${listAnswer()}\n${last}`;
      const { bytes } = await rig({ script: () => eventsAnswer([Buffer.from(text)]) }).ask(get);
      const told = bytes.toString().split(/\r\n|\r|\n/);
      assert.deepEqual(
        [told.length, told[0], ...told.slice(2)],
        [4, "event: message", "", ""],
        told.join("|"),
      );
      assert.ok(!told[1]?.includes("delete"));
    }
  }
});

test("a list with an escaped key, in a batch, in discovery or in a document is filtered too", async () => {
  const escaped = listAnswer().replace('"tools"', '"\\u0074ools"');
  const discovered = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { catalog: { tools } } });
  const document = JSON.stringify({ name: "docs", tools });
  const disguised = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    result: { content: [], tools, a: { tools: 1 } },
  });
  const batch = `[${answered(2)},${listAnswer(1)}]`;
  const ask = async (text: string, request = { bytes: listText() } as object): Promise<string> =>
    (await rig({ script: () => jsonAnswer(text) }).ask(request)).text;
  const discover = { bytes: '{"jsonrpc":"2.0","id":1,"method":"server/discover"}' };
  for (const text of [
    await ask(escaped),
    await ask(disguised),
    await ask(discovered, discover),
    await ask(document, { method: "GET", headers: [] }),
    await ask(batch, { bytes: `[${listText(1)},${callText("search", 2)}]` }),
  ]) {
    assert.ok(text.includes('"search"') && !text.includes("delete"), text);
  }
  const catalog = rig({ script: () => jsonAnswer(discovered) });
  await catalog.ask(discover);
  assert.equal(catalog.listed.length, 0, "a list within a list is nothing to pin");
});

test("a text is read about as often as it has parts, however many lists are in it", async (t) => {
  const count = 400;
  const many = (part: (at: number) => string): string =>
    Array.from({ length: count }, (_each, at) => part(at)).join(",");
  const texts = {
    "lists in one result": `{"jsonrpc":"2.0","id":1,"result":{${many((at) => `"\\u0061${at}":{"tools":[{"name":"delete"}]}`)}}}`,
    "answers in one batch": `[${many((at) => `{"jsonrpc":"2.0","id":${at},"\\u0072esult":{"tools":[{"name":"delete"}]}}`)}]`,
  };
  for (const [name, text] of Object.entries(texts)) {
    // an escaped key is read by JSON.parse each time that it is come across
    const reads = t.mock.method(JSON, "parse");
    const reply = await rig({ script: () => jsonAnswer(text) }).ask({ bytes: listText() });
    const calls = reads.mock.callCount();
    reads.mock.restore();
    assert.ok(!reply.text.includes("delete") && reply.text.length > count, name);
    assert.ok(calls < 10 * count, `${name}: ${calls} reads of ${count} keys`);
  }
});

test("a tool's own result is not a list of tools", async () => {
  const text = answered(1, { content: [], structuredContent: { tools }, tools });
  const at = rig({ script: () => jsonAnswer(text) });
  assert.equal((await at.ask({ bytes: callText("search") })).text, text);
  const odd = '{"jsonrpc":"2.0","id":1,"result":{"content":[],"said":"\\u0061","a":1,"a":2}}';
  const own = rig({ script: () => jsonAnswer(odd) });
  assert.equal((await own.ask({ bytes: callText("search") })).text, odd);
  assert.equal(own.listed.length, 0);
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

test("no answer that a client may take for a list passes unseen, whether tools are chosen or pinned", async () => {
  const ping = { bytes: '{"jsonrpc":"2.0","id":7,"method":"ping"}' };
  const asList = { bytes: listText() };
  const typed = (response: HttpResponse, ...headers: [string, string][]): HttpResponse => {
    return { ...response, headers };
  };
  const hidden: Record<string, [object, Script]> = {
    "behind a byte order mark": [asList, () => jsonAnswer(`\uFEFF${listAnswer()}`)],
    "for a call's result, its id as text": [asList, () => jsonAnswer(answered("1", { content: [], tools }))],
    "on another stream, for a call's result": [
      get,
      () => eventsAnswer([event(answered(1, { content: [], tools }))]),
    ],
    "in the answer to another request": [ping, () => jsonAnswer(listAnswer())],
    "under a type that two readers read differently": [
      ping,
      () => typed(jsonAnswer(listAnswer()), ["content-type", "text/plain; application/json"]),
    ],
    "as events of another type": [
      get,
      () => typed(eventsAnswer([event(listAnswer())]), ["content-type", "text/plain"]),
    ],
    "compressed, on another stream": [
      get,
      () =>
        typed(
          eventsAnswer([event(listAnswer())]),
          ["content-type", "text/event-stream"],
          ["content-encoding", "gzip"],
        ),
    ],
  };
  const deny = { allow: false, code: "tools_changed", reason: "changed" } as const;
  const pinned = { tools: null, rule: { strict: true, pinned: true, listed: () => deny } };
  for (const [name, [request, script]] of Object.entries(hidden)) {
    for (const rule of [{}, pinned]) {
      const told = await rig({ ...rule, script })
        .ask(request)
        .catch((error: unknown) => String(error));
      const text = typeof told === "string" ? told : told.text;
      assert.ok(!text.includes("delete"), `${name}: ${text}`);
    }
  }
});

test("what is no MCP passes where tools are chosen or pinned (control)", async () => {
  const script = (): HttpResponse => ({ ...jsonAnswer("tools"), headers: [["content-type", "text/html"]] });
  for (const rule of [{}, { tools: null, rule: { strict: true, pinned: true } }]) {
    const at = rig({ ...rule, script });
    assert.equal((await at.ask({ method: "GET", headers: [["accept", "text/html"]] })).text, "tools");
    const refused = rig({ ...rule, script: () => ({ ...script(), status: 405 }) });
    assert.equal((await refused.ask(get)).status, 405);
  }
});
