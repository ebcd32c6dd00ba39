/** `loadtest --mcp` on a real engine: every job calls a tool through the tunnel, and what keeps it from that is told by reason. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Report } from "../../src/loadtest/index.ts";
import { startSampleServer } from "../../src/mcp/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { Fleet } from "../helpers/fleet.ts";

const skip = await requireEngine();

/** Exits with 3 where the tool gives no answer. */
const caller = `
import json, sys, urllib.request

def ask(body, headers={}):
    accept = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    request = urllib.request.Request("https://docs.t.test/mcp", json.dumps(body).encode(), {**accept, **headers})
    with urllib.request.urlopen(request, timeout=20) as response:
        text = response.read().decode()
        lines = [line[5:] for line in text.splitlines() if line.startswith("data:")]
        return response.headers, json.loads(lines[-1] if lines else text)

version = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
headers, _ = ask({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": version})
call = {"name": "search_docs", "arguments": {"query": "leave"}}
session = {"mcp-session-id": headers["mcp-session-id"]}
_, answer = ask({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}, session)
sys.exit(0 if "result" in answer else 3)
`;

test(
  "each job of a load test calls its tool once, and is counted; a denied tool and an unknown route are reasons",
  { skip },
  async () => {
    await using sample = await startSampleServer();
    await using fleet = await Fleet.make();
    const tunnel = join(fleet.dir, "tunnel.yaml");
    const lines = ["tunnel_domain: t.test", `routes: { docs: "http://127.0.0.1:${sample.port}" }`];
    await writeFile(tunnel, [...lines, "upstream: { allowed_ips: [127.0.0.1] }", ""].join("\n"));
    await fleet.startDev(["--slots", "4", "--tunnel", tunnel]);
    const page = join(fleet.dir, "report.html");
    const load = async (grant: string, total: number): Promise<{ code: number | null; report: Report }> => {
      const size = ["--profile", "python", "--concurrency", "4", "--total", String(total)];
      const told = ["--html", page, "--json"];
      const { code, stdout, stderr } = await fleet.run([
        "loadtest",
        ...size,
        ...told,
        "--mcp",
        grant,
        "-c",
        caller,
      ]);
      assert.ok(stdout.length > 0, stderr);
      return { code, report: JSON.parse(stdout.toString("utf8").trim()) as Report };
    };

    const good = await load("docs=search_docs", 12);
    assert.deepEqual(good.report.failures, []);
    assert.deepEqual([good.code, good.report.jobs.succeeded, good.report.calls], [0, 12, 12]);
    assert.equal(sample.ledger.searches, 12);
    assert.equal(good.report.leaks.sandboxes, 0);
    assert.match(await readFile(page, "utf8"), /MCP calls/);

    const denied = await load("docs=count", 2);
    const [failure] = denied.report.failures;
    assert.deepEqual([denied.code, failure?.reason, failure?.count], [1, "exited 3", 2]);
    assert.equal(denied.report.calls, 0);

    const unknown = await load("wiki=search_docs", 2);
    assert.equal(unknown.code, 1);
    assert.deepEqual(
      [unknown.report.jobs.failed, unknown.report.calls, unknown.report.leaks.sandboxes],
      [2, 0, 0],
    );
    assert.match(String(unknown.report.failures[0]?.message), /wiki/);
    assert.equal(sample.ledger.searches, 12);
  },
);
