/** Two connectors offer one name, each with an MCP server of its own that knows only its own sessions. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Agent, fetch } from "undici";
import { connectorSettings, hubSettings } from "../../src/config/index.ts";
import { startSampleServer, type SampleServer } from "../../src/mcp/index.ts";
import { runConnector } from "../../src/roles/connector.ts";
import { runHub } from "../../src/roles/hub.ts";
import { initCertificates } from "../../src/tunnel/index.ts";
import { eventually } from "../helpers/hub.ts";
import { RunningRole } from "../helpers/running-role.ts";

const domain = "tunnel.example";
const host = `docs.${domain}`;

let dir: string;
let ca: string;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "sallyport-affinity-"));
  await initCertificates({ dir, domain, days: 10, key: "ecdsa-p256" });
  ca = await readFile(join(dir, "ca.crt"), "utf8");
});

after(async () => await rm(dir, { recursive: true, force: true }));

async function startConnector(name: string, hub: string, upstream: SampleServer): Promise<RunningRole> {
  const tunnel = join(dir, `${name}.yaml`);
  const lines = [
    `tunnel_domain: ${domain}`,
    // the clients' event streams never end by themselves
    "shutdown_timeout: 1s",
    "tls: { cert_file: tls.crt, key_file: tls.key }",
    `routes: { docs: "${new URL(upstream.url).origin}" }`,
    "upstream: { allowed_ips: [127.0.0.1] }",
  ];
  await writeFile(tunnel, `${lines.join("\n")}\n`);
  const tokenFile = join(dir, "hub", "connector.token");
  const flags = { hub: [hub], tokenFile, tunnel, state: join(dir, name), logLevel: "silent" };
  const role = new RunningRole((roleHost) => runConnector(connectorSettings(flags, {}, dir), roleHost));
  await role.ready.promise;
  return role;
}

/** An MCP client outside, whose every request comes over a connection of its own: the edge is free to choose each time. */
async function connectClient(edge: string): Promise<Client> {
  const port = Number(edge.split(":").at(-1));
  const dispatcher = new Agent({ pipelining: 0, connect: { ca, servername: host, lookup: toLoopback } });
  const throughEdge = async (url: string | URL, init?: RequestInit): Promise<Response> => {
    const target = new URL(url);
    target.port = String(port);
    return await fetch(target, {
      ...(init as object),
      headers: { ...Object.fromEntries(new Headers(init?.headers)), host },
      dispatcher,
    });
  };
  const client = new Client({ name: "outside", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(`https://${host}/mcp`), { fetch: throughEdge });
  await client.connect(transport);
  return client;
}

type Lookup = (
  name: string,
  options: object,
  done: (error: null, addresses: { address: string; family: number }[]) => void,
) => void;
const toLoopback: Lookup = (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]);

async function count(client: Client, label: string): Promise<unknown> {
  return await client.callTool({ name: "count", arguments: { label } });
}

test("a session stays with the connector that began it; sessions are shared out; one whose owner left is unknown", async () => {
  await using first = await startSampleServer();
  await using second = await startSampleServer();
  const flags = {
    listen: "127.0.0.1:0",
    edge: "127.0.0.1:0",
    state: join(dir, "hub"),
    logLevel: "silent",
  };
  const hub = new RunningRole((roleHost) => runHub(hubSettings(flags, {}, dir), roleHost));
  const { url, edge } = (await hub.ready.promise) as { url: string; edge: string };
  const connectors = [
    await startConnector("one", url, first),
    await startConnector("two", url, second),
  ] as const;

  const clients = await Promise.all(Array.from({ length: 6 }, () => connectClient(edge)));
  for (let round = 0; round < 5; round += 1)
    await Promise.all(clients.map((client, at) => count(client, `${at}:${round}`)));

  const ledgers = [first, second].map(({ ledger }) => ledger.counted);
  assert.equal(ledgers[0]!.length + ledgers[1]!.length, 30, "every call was carried out once");
  const owners = clients.map((_, at) =>
    ledgers.map((ledger) => ledger.filter((label) => label.startsWith(`${at}:`)).length),
  );
  for (const [at, owned] of owners.entries())
    assert.deepEqual(
      owned.toSorted((a, b) => a - b),
      [0, 5],
      `client ${at} met one server only: ${owned.join()}`,
    );
  assert.ok(
    ledgers.every((ledger) => ledger.length > 0),
    "both connectors were given sessions",
  );

  assert.equal(await connectors[0].stop(), 0);
  const orphan = owners.findIndex(([inFirst]) => inFirst === 5);
  const settled = owners.findIndex(([inFirst]) => inFirst === 0);
  await eventually(async () => (await count(clients[settled]!, "still").catch(() => null)) !== null);
  await assert.rejects(count(clients[orphan]!, "gone"), (error: { code?: number }) => error.code === 404);
  for (const client of clients) await client.close();
  assert.equal(await connectors[1].stop(), 0);
  assert.equal(await hub.stop(), 0);
});
