/**
 * Jobs that reach MCP servers through the gateway and a tunnel, in real containers, with nothing but what Python and Node bring:
 * names, certificates, policy and audit, in sandboxes made ahead and in sandboxes made for the job.
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openAuditLog, verifyAudit, type AuditLog } from "../../src/audit/index.ts";
import { createGateway, type Gateway } from "../../src/egress/index.ts";
import { silentLog } from "../../src/log.ts";
import { startSampleServer, type SampleServer } from "../../src/mcp/index.ts";
import type { AttemptOutcome, JobSpec } from "../../src/protocol/index.ts";
import { createDockerDriver, type Driver, type Profile } from "../../src/sandbox/index.ts";
import * as docker from "../helpers/docker.ts";
import { startRig, testProfile, type Rig } from "../helpers/simulated-hub.ts";
import { domain, rig as startTunnel } from "../unit/tunnel/proxy/rig.ts";

const skip = await docker.requireEngine();
const resources = { cpus: 1, memory: "256MiB", pids: 64, workspace: "16MiB", tmp: "16MiB" };
const docs = `docs.${domain}`;

const profiles = ["python", "node"].flatMap((language): Profile[] => {
  const network = { mcp: [{ host: "*" }] };
  const common = { image: `sallyport/${language}`, resources, languages: { [language]: {} }, network };
  return [
    testProfile(language, { ...common, pool: { warm: 1, maxAge: "10m" } }),
    testProfile(`${language}-cold`, common),
  ];
});

interface Bench extends AsyncDisposable {
  rig: Rig;
  sample: SampleServer;
  gateway: Gateway;
  audit: AuditLog;
  auditDir: string;
}

let bench: Bench;

before(async () => {
  if (skip !== false) return;
  await docker.buildPrograms();
  await using stack = new AsyncDisposableStack();
  const sample = stack.use(await startSampleServer());
  const tunnel = stack.use(await startTunnel({ routes: { docs: sample.port, wiki: sample.port } }));
  const auditDir = join(tunnel.dir.path, "audit");
  const audit = stack.use(await openAuditLog({ log: silentLog() }, { dir: auditDir }));
  const gateway = stack.use(createGateway({ local: tunnel.tunnel, audit, log: silentLog() }));
  const worker = docker.workerId("tunnel-test");
  const driver: Driver = stack.use(
    createDockerDriver(
      { log: silentLog() },
      {
        ...docker.engineAt(),
        worker,
        boot: "boot",
        guestPath: docker.guestPath,
        probePath: docker.probePath,
      },
    ),
  );
  const times = { settleMs: 5_000, lingerMs: 1_000 };
  const rig = stack.use(await startRig({ profiles, driver: () => driver, network: gateway, times }));
  const owned = stack.move();
  bench = {
    rig,
    sample,
    gateway,
    audit,
    auditDir,
    [Symbol.asyncDispose]: async () => {
      await owned.disposeAsync();
      await docker.leakCheck(`dev.sallyport.worker=${worker}`);
    },
  };
});

after(async () => {
  if (skip === false) await bench[Symbol.asyncDispose]();
});

interface Ran {
  outcome: AttemptOutcome;
  lines: unknown[];
  lease: string;
  events: string;
}

/** Runs a program that prints lines of JSON. */
async function runJob(profile: string, code: string, mcp: JobSpec["mcp"]): Promise<Ran> {
  const { hub } = bench.rig;
  const language = profile.replace("-cold", "");
  if (language === profile) await waits(profile);
  const job = hub.offer({ spec: { profile, run: { language, code }, mcp } });
  const outcome = await job.finished;
  const text = job.printed("stdout").toString();
  assert.equal(
    outcome.exitCode,
    0,
    `${text}${job.printed("stderr").toString()}${JSON.stringify(outcome.error)}`,
  );
  assert.equal(outcome.timings.warm, language === profile);
  const lines = text.split("\n").filter(Boolean);
  const events = job.printed("event").toString();
  return { outcome, events, lease: job.ref.lease, lines: lines.map((line) => JSON.parse(line) as unknown) };
}

async function waits(profile: string): Promise<void> {
  // longer than the hub is told late
  await new Promise((resolve) => setTimeout(resolve, 300));
  const told = (): boolean => {
    const beat = bench.rig.hub.messages.findLast((message) => message.type === "heartbeat");
    return (beat?.warm[profile] ?? 0) > 0;
  };
  await bench.rig.hub.until(told, "a sandbox to wait");
}

const python = `
import json, urllib.request, urllib.error

def ask(url, body=None, headers={}):
    data = None if body is None else json.dumps(body).encode()
    accept = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, data, {**accept, **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()

def rpc(session, id, method, params):
    message = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
    status, headers, text = ask("https://${docs}/mcp", message, session)
    lines = [line[5:] for line in text.splitlines() if line.startswith("data:")]
    return headers, json.loads(lines[-1] if lines else text)

headers, _ = rpc({}, 1, "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
session = {"mcp-session-id": headers["mcp-session-id"]}
ask("https://${docs}/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, session)
print(json.dumps(sorted(tool["name"] for tool in rpc(session, 2, "tools/list", {})[1]["result"]["tools"])))
print(json.dumps(rpc(session, 3, "tools/call", {"name": "search_docs", "arguments": {"query": "leave"}})[1]["result"]["content"][0]["text"][:6]))
print(json.dumps(rpc(session, 4, "tools/call", {"name": "delete_everything", "arguments": {}})[1]["error"]["data"]["reason"]))
status, _, text = ask("https://wiki.${domain}/mcp")
print(json.dumps([status, text]))
`;

const node = `
const ask = async (url, body, headers = {}) => {
  const accept = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(url, { ...init, headers: { ...accept, ...headers } });
  return [response.status, response.headers, await response.text()];
};
const rpc = async (session, id, method, params) => {
  const [, headers, text] = await ask("https://${docs}/mcp", { jsonrpc: "2.0", id, method, params }, session);
  const lines = text.split("\\n").filter((line) => line.startsWith("data:"));
  return [headers, JSON.parse(lines.length > 0 ? lines.at(-1).slice(5) : text)];
};
const print = (value) => console.log(JSON.stringify(value));
const capabilities = {}, clientInfo = { name: "t", version: "1" };
const [headers] = await rpc({}, 1, "initialize", { protocolVersion: "2025-06-18", capabilities, clientInfo });
const session = { "mcp-session-id": headers.get("mcp-session-id") };
await ask("https://${docs}/mcp", { jsonrpc: "2.0", method: "notifications/initialized" }, session);
print((await rpc(session, 2, "tools/list", {}))[1].result.tools.map(({ name }) => name).sort());
print((await rpc(session, 3, "tools/call", { name: "search_docs", arguments: { query: "leave" } }))[1].result.content[0].text.slice(0, 6));
print((await rpc(session, 4, "tools/call", { name: "delete_everything", arguments: {} }))[1].error.data.reason);
const [status, , text] = await ask("https://wiki.${domain}/mcp");
print([status, text]);
`;

for (const [profile, code] of Object.entries({ python, "python-cold": python, node, "node-cold": node })) {
  test(`${profile}: lists and calls what it is granted, and is refused the rest`, { skip }, async () => {
    const { sample } = bench;
    const searches = sample.ledger.searches;
    const ran = await runJob(profile, code, [{ host: "docs", tools: ["search_docs", "count"] }]);
    const wiki = `wiki.${domain}`;
    assert.deepEqual(ran.lines, [
      ["count", "search_docs"],
      "Leave:",
      "tool_not_allowed",
      [403, JSON.stringify({ error: "host_not_allowed", host: wiki })],
    ]);
    assert.deepEqual([sample.ledger.searches - searches, sample.ledger.deletions], [1, 0]);
    assert.equal(ran.outcome.calls, 1);
    assert.match(ran.events, /"tool":"search_docs"/);
    assert.match(ran.events, /"reason":"tool_not_allowed"/);
  });
}

const reach = `
import json, os, socket, urllib.request, urllib.error

def outcome(act):
    try:
        return act()
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
    except Exception as error:
        return type(getattr(error, "reason", error)).__name__

def proxied(url):
    proxy = "http://127.0.0.1:3128"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    return outcome(lambda: opener.open(url, timeout=5).status)

def connect(address):
    return outcome(lambda: socket.create_connection(address, timeout=2).close() or "connected")

host, port = os.environ["CANARY"].split(":")
print(json.dumps(proxied("http://example.com/")))
print(json.dumps(proxied(f"http://{host}:{port}/")))
print(json.dumps(proxied("https://${docs}/mcp")))
print(json.dumps(connect((host, int(port)))))
print(json.dumps(connect(("169.254.169.254", 80))))
print(json.dumps(outcome(lambda: socket.getaddrinfo("example.com", 443) and "resolved")))
print(json.dumps(connect(("${docs}", 443))))
`;

test(
  "neither another host, nor an address, nor a name is reached, granted or not; a canary hears nothing",
  { skip },
  async () => {
    let heard = 0;
    const canary = createServer((_request, response) => {
      heard += 1;
      response.end("canary");
    });
    const address = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === "IPv4" && !one.internal)?.address;
    assert.ok(address !== undefined);
    await new Promise<void>((resolve) => canary.listen(0, address, resolve));
    const { port } = canary.address() as AddressInfo;
    try {
      const code = `import os\nos.environ["CANARY"] = "${address}:${port}"\n${reach}`;
      const granted = await runJob("python", code, [{ host: "docs" }]);
      assert.deepEqual(granted.lines.slice(0, 2), [
        [403, JSON.stringify({ error: "host_not_allowed", host: "example.com" })],
        [403, JSON.stringify({ error: "host_not_allowed", host: address })],
      ]);
      const [status] = granted.lines[2] as [number];
      assert.equal(status, 400, "the sample itself answers, and asks for a session");
      assert.deepEqual(granted.lines.slice(3), ["OSError", "OSError", "gaierror", "connected"]);
      const none = await runJob("python", code, []);
      assert.deepEqual(none.lines, [
        ...Array.from({ length: 3 }, () => "ConnectionRefusedError"),
        "OSError",
        "OSError",
        "gaierror",
        "ConnectionRefusedError",
      ]);
      assert.equal(heard, 0);
      assert.equal(await (await fetch(`http://${address}:${port}/`)).text(), "canary", "it would have heard");
    } finally {
      canary.close();
    }
  },
);

test("every decision and call of these jobs is in the audit, whose chain verifies", { skip }, async () => {
  const ran = await runJob("node", node, [{ host: docs, tools: ["search_docs"] }]);
  await bench.audit.flush();
  const report = await verifyAudit(bench.auditDir);
  assert.deepEqual([report.ok, report.lost, report.fault], [true, 0, null]);
  const files = await readdir(bench.auditDir);
  const text = await Promise.all(files.map((file) => readFile(join(bench.auditDir, file), "utf8")));
  const lines = text
    .join("")
    .split("\n")
    .filter((line) => line.includes(`"${ran.lease}"`));
  const calls = lines.filter((line) => line.includes('"kind":"call"'));
  assert.equal(lines.length - calls.length, 6, "initialize, initialized, list, two calls, one host");
  assert.ok(calls.length === 2 && calls.some((line) => line.includes('"tool_not_allowed"')), calls.join());
  assert.ok(lines.some((line) => line.includes('"host_not_allowed"') && line.includes(`wiki.${domain}`)));
  assert.ok(!text.join("").includes("leave"), "arguments stand there as digests only");
});
