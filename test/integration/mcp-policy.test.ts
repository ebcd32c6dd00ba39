/** The official MCP client against a real MCP server, with the policy and a real HTTP hop between them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { deferred } from "../../src/async/index.ts";
import { ByteRoom } from "../../src/exchange/index.ts";
import {
  startSampleServer,
  throughToolPolicy,
  ToolPin,
  type CallEnd,
  type SampleServer,
  type ToolCall,
  type ToolRule,
} from "../../src/mcp/index.ts";
import { clientTo, faceRig } from "../unit/exchange/rig.ts";

interface Hop extends AsyncDisposable {
  readonly client: Client;
  readonly transport: StreamableHTTPClientTransport;
  readonly url: URL;
  readonly ended: (CallEnd & { call: ToolCall })[];
}

const open = new Set(["search_docs", "count", "work_slowly"]);

async function hop(sample: SampleServer, over: Partial<ToolRule> = {}): Promise<Hop> {
  await using stack = new AsyncDisposableStack();
  const ended: Hop["ended"] = [];
  const rule: ToolRule = {
    tools: open,
    admit: () => ({ allow: true }),
    ended: (call, end) => void ended.push({ call, ...end }),
    listed: () => ({ allow: true }),
    ...over,
  };
  const upstream = stack.use(clientTo(sample.port));
  const forward = throughToolPolicy(rule, upstream.forward, new ByteRoom(2 ** 24));
  const face = stack.use(await faceRig({ handle: (request, _context, signal) => forward(request, signal) }));
  const url = new URL(`http://127.0.0.1:${face.port}/mcp`);
  const client = new Client({ name: "test", version: "1" });
  const transport = new StreamableHTTPClientTransport(url);
  await client.connect(transport);
  stack.defer(() => client.close());
  const owned = stack.move();
  return { client, transport, url, ended, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

const textOf = (result: Awaited<ReturnType<Client["callTool"]>>): string =>
  (result.content as { text: string }[]).map(({ text }) => text).join("\n");

test("an unmodified client lists and calls what it may", async () => {
  await using sample = await startSampleServer();
  await using at = await hop(sample);
  const { tools } = await at.client.listTools();
  assert.deepEqual(
    tools.map(({ name }) => name),
    ["search_docs", "count", "work_slowly"],
  );
  const found = await at.client.callTool({ name: "search_docs", arguments: { query: "leave days" } });
  assert.match(textOf(found), /25 days/);
  assert.equal(textOf(await at.client.callTool({ name: "count", arguments: { label: "a" } })), "1");
  assert.deepEqual(sample.ledger.counted, ["a"]);
  assert.deepEqual(
    at.ended.map(({ call, outcome }) => [call.tool, outcome]),
    [
      ["search_docs", "answered"],
      ["count", "answered"],
    ],
  );
});

test("a denied tool is not listed, not called, and the client is told why", async () => {
  await using sample = await startSampleServer();
  await using at = await hop(sample);
  await assert.rejects(at.client.callTool({ name: "delete_everything", arguments: {} }), (error) => {
    const { code, data } = error as { code: number; data: { reason: string; tool: string } };
    assert.deepEqual([code, data.reason, data.tool], [-32602, "tool_not_allowed", "delete_everything"]);
    return true;
  });
  assert.equal(sample.ledger.deletions, 0);
});

test("control: without a rule for tools it is listed and runs", async () => {
  await using sample = await startSampleServer();
  await using at = await hop(sample, { tools: null });
  assert.equal((await at.client.listTools()).tools.length, 4);
  await at.client.callTool({ name: "delete_everything", arguments: {} });
  assert.equal(sample.ledger.deletions, 1);
});

test("progress comes while the tool works, and a wrong argument is the tool's own error", async () => {
  await using sample = await startSampleServer();
  await using at = await hop(sample);
  const seen: number[] = [];
  const options = { onprogress: ({ progress }: { progress: number }) => void seen.push(progress) };
  const slow = { name: "work_slowly", arguments: { ms: 20, steps: 4 } };
  assert.equal(textOf(await at.client.callTool(slow, undefined, options)), "done in 4 steps");
  assert.deepEqual(seen, [1, 2, 3, 4]);
  const wrong = await at.client.callTool({ name: "count", arguments: { label: 1 } });
  assert.equal(wrong.isError, true);
  assert.deepEqual(
    at.ended.map(({ outcome }) => outcome),
    ["answered", "tool_error"],
  );
});

test("many calls at once are each carried out once", async () => {
  await using sample = await startSampleServer();
  await using at = await hop(sample);
  const labels = Array.from({ length: 100 }, (_, n) => `call ${n}`);
  await Promise.all(labels.map((label) => at.client.callTool({ name: "count", arguments: { label } })));
  assert.deepEqual(new Set(sample.ledger.counted), new Set(labels));
  assert.equal(sample.ledger.counted.length, 100);
  assert.equal(at.ended.filter(({ outcome }) => outcome === "answered").length, 100);
});

test("a session ends with its client's DELETE, and a forgotten one is 404 to the client", async () => {
  await using sample = await startSampleServer();
  await using at = await hop(sample);
  await using other = await hop(sample);
  assert.equal(sample.sessions, 2);
  await at.transport.terminateSession();
  assert.equal(sample.sessions, 1);
  await sample.forgetSessions();
  await assert.rejects(other.client.callTool({ name: "count", arguments: { label: "a" } }), { code: 404 });
  assert.deepEqual(
    other.ended.map(({ outcome }) => outcome),
    ["failed"],
  );
});

test("an upstream that goes away in mid-call leaves an unknown outcome, and nothing is sent again", async () => {
  const sample = await startSampleServer();
  await using at = await hop(sample);
  const begun = deferred<void>();
  const slow = at.client.callTool(
    { name: "work_slowly", arguments: { ms: 60_000, steps: 1_000 } },
    undefined,
    {
      onprogress: () => begun.resolve(),
    },
  );
  const failed = assert.rejects(slow, (error) => {
    assert.equal((error as { data: { reason: string } }).data.reason, "outcome_unknown");
    return true;
  });
  await begun.promise;
  await sample[Symbol.asyncDispose]();
  await failed;
  assert.deepEqual(
    at.ended.map(({ outcome }) => outcome),
    ["unknown"],
  );
});

test("tools that changed since they were pinned are not listed", async () => {
  await using sample = await startSampleServer();
  const pin = new ToolPin({ mode: "deny" });
  await using first = await hop(sample, { tools: null, listed: pin.listed.bind(pin) });
  await first.client.listTools();
  const { state } = pin;
  const changed = new ToolPin({ mode: "deny", from: { ...state, tools: { ...state.tools, count: "0" } } });
  await using second = await hop(sample, { tools: null, listed: changed.listed.bind(changed) });
  await assert.rejects(second.client.listTools(), (error) => {
    assert.equal((error as { data: { reason: string } }).data.reason, "tools_changed");
    return true;
  });
});
