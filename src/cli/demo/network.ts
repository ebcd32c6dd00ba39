/** Steps that show the one network a sandbox has: the MCP servers its job was granted, by name, tool by tool. */
import type { Fleet } from "./fleet.ts";
import { expect, runJob, type Step } from "./step.ts";
import { tunnelDomain } from "./tunnel-files.ts";

/** Plain Python as an agent writes it: no proxy setting, no credential, the usual certificate checks. */
const pythonCode = `
import json, os, urllib.request

URL = f"https://docs.{os.environ['DOMAIN']}/mcp"
session, number = None, 0

def rpc(method, params=None, notify=False):
    global session, number
    number += 1
    message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
    if not notify:
        message["id"] = number
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if session:
        headers["mcp-session-id"] = session
    request = urllib.request.Request(URL, json.dumps(message).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        session = reply.headers.get("mcp-session-id") or session
        body = reply.read().decode()
    if body.startswith(("event:", "data:", "id:", ":")):
        body = next(line[5:] for line in reversed(body.splitlines()) if line.startswith("data:"))
    return json.loads(body) if body.strip() else None

rpc("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "demo", "version": "1"}})
rpc("notifications/initialized", notify=True)
print("tools", sorted(tool["name"] for tool in rpc("tools/list")["result"]["tools"]))
call = lambda name, **arguments: rpc("tools/call", {"name": name, "arguments": arguments})
print("found", call("search_docs", query="backups")["result"]["content"][0]["text"])
print("denied", json.dumps(call("delete_everything")["error"]["data"]["reason"]))
`;

/** What is not granted: a name it could guess, an address it could know, the whole rest of the world. */
const reachCode = `
import http.client, os, socket, urllib.request

def ask(host):
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
    connection.request("GET", "/", headers={"Host": host})
    reply = connection.getresponse()
    return reply.status, reply.read().decode()

print("unknown host", *ask("example.com"))
print("not granted", *ask(f"everything.{os.environ['DOMAIN']}"))
for host, port in [("127.0.0.1", int(os.environ["UPSTREAM_PORT"])), ("10.0.0.1", 443), ("169.254.169.254", 80)]:
    try:
        socket.create_connection((host, port), 3)
        print("REACHED", host)
    except OSError as error:
        print(f"{host}:{port}", error.strerror)
try:
    urllib.request.urlopen("https://example.com/", timeout=5)
    print("REACHED example.com")
except OSError as error:
    print("names", error.reason.strerror)
`;

/** The official client, unmodified. */
const nodeCode = `
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
const client = new Client({ name: "demo", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(process.env.MCP_URL)));
const { tools } = await client.listTools();
const sum = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
let steps = 0;
const options = { onprogress: () => (steps += 1) };
const long = { name: "trigger-long-running-operation", arguments: { duration: 1, steps: 4 } };
await client.callTool(long, undefined, options);
const echo = { name: "echo", arguments: { message: "hello" } };
const denied = await client.callTool(echo).then(() => "CALLED", (error) => error.data?.reason);
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), sum: sum.content[0].text, steps, denied }));
process.exit(0);
`;

export function network(fleet: Fleet): readonly Step[] {
  return [pythonStep, nodeStep, reachStep(fleet)];
}

const pythonStep: Step = {
  title: "Sandboxed Python lists and calls the tools it was granted on docs, and is refused another",
  async run(client) {
    const ran = await runJob(client, {
      profile: "python",
      code: pythonCode,
      env: { DOMAIN: tunnelDomain },
      mcp: [{ host: "docs", tools: ["search_docs", "count"] }],
    });
    const { stdout, stderr, result } = ran;
    expect(stdout.includes("tools ['count', 'search_docs']"), "two tools", { stdout, stderr });
    expect(stdout.includes("found Backups:"), "a document", { stdout, stderr });
    expect(stdout.includes('denied "tool_not_allowed"'), "delete_everything to be denied", {
      stdout,
      stderr,
    });
    expect(result.calls === 1, "one call counted", result);
    return stdout.trim().replaceAll("\n", " · ");
  },
};

const nodeStep: Step = {
  title: "Sandboxed Node with the official MCP client works on everything, through hub and connector",
  async run(client) {
    const ran = await runJob(client, {
      profile: "node",
      code: nodeCode,
      env: { MCP_URL: `https://everything.${tunnelDomain}/mcp` },
      mcp: [{ host: "everything", tools: ["get-sum", "trigger-long-running-operation"] }],
    });
    const { stdout, stderr } = ran;
    expect(stdout.includes("The sum of 2 and 40 is 42"), "the sum", { stdout, stderr });
    expect(stdout.includes('"steps":4'), "four steps of progress", stdout);
    expect(stdout.includes('"denied":"tool_not_allowed"'), "echo to be denied", stdout);
    return stdout.trim();
  },
};

function reachStep({ upstreams }: Fleet): Step {
  return {
    title: "The same sandbox reaches no other host, no address and no name",
    async run(client) {
      const port = upstreams.docs.split(":").at(-1) ?? "";
      const { stdout, stderr } = await runJob(client, {
        profile: "python",
        code: reachCode,
        env: { DOMAIN: tunnelDomain, UPSTREAM_PORT: port },
        mcp: [{ host: "docs" }],
      });
      const refused = 'unknown host 403 {"error":"host_not_allowed","host":"example.com"}\n';
      expect(stdout.startsWith(refused), "the refusal of example.com", { stdout, stderr });
      expect(stdout.includes("not granted 403"), "everything to be refused", stdout);
      expect(!stdout.includes("REACHED"), "nothing to be reachable", stdout);
      return stdout.trim().replaceAll("\n", " · ");
    },
  };
}
