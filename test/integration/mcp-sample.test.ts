import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { startSampleServer } from "../../src/mcp/index.ts";

const main = new URL("../../src/mcp/sample/main.ts", import.meta.url).pathname;

async function clientOf(url: string): Promise<Client & AsyncDisposable> {
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() });
}

test("sessions are apart, and what tools did is in one ledger", async () => {
  await using sample = await startSampleServer();
  await using one = await clientOf(sample.url);
  await using two = await clientOf(sample.url);
  await one.callTool({ name: "count", arguments: { label: "one" } });
  await two.callTool({ name: "count", arguments: { label: "two" } });
  await two.callTool({ name: "delete_everything", arguments: {} });
  assert.deepEqual(sample.ledger, { counted: ["one", "two"], searches: 0, deletions: 1 });
  assert.equal(sample.sessions, 2);
});

test("what is no session, no path or no request is refused", async () => {
  await using sample = await startSampleServer();
  const ask = async (path: string, init: RequestInit): Promise<number> => {
    const response = await fetch(new URL(path, sample.url), init);
    await response.arrayBuffer();
    return response.status;
  };
  assert.equal(await ask("/other", {}), 404);
  assert.equal(await ask("/mcp", {}), 400);
  assert.equal(await ask("/mcp", { method: "POST", body: "{" }), 400);
  assert.equal(await ask("/mcp", { headers: { "mcp-session-id": "guessed" } }), 404);
  assert.equal(await ask("/mcp", { method: "POST", body: "x".repeat(2 ** 20 + 1) }), 413);
});

test("as a process it says where it is, serves, and ends at SIGTERM", async () => {
  const child = spawn(process.execPath, [main, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    const { event, url } = JSON.parse(line) as { event: string; url: string };
    assert.equal(event, "ready");
    {
      await using client = await clientOf(url);
      assert.equal((await client.listTools()).tools.length, 4);
    }
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [0, null]);
  } finally {
    child.kill("SIGKILL");
  }
});
