/** Routes as operators see them: the hub's list follows the upstreams, and whoever serves a route counts what passes it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { connectorSettings } from "../../src/config/index.ts";
import { runConnector } from "../../src/roles/connector.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { RunningRole } from "../helpers/running-role.ts";
import { callerAt, connectorFolder, connectorToken, host, offerAt } from "../helpers/tunnel-path.ts";
import { domain, rig } from "../unit/tunnel/proxy/rig.ts";
import { upstream } from "../unit/tunnel/proxy/upstream.ts";
import { freePort } from "../helpers/free-port.ts";

interface Listed {
  host: string;
  state: string;
  layer: string | null;
  connectors: number;
}

async function routesOf(hub: TestHub): Promise<Listed[]> {
  return ((await hub.call("/v1/routes")).json as unknown as { routes: Listed[] }).routes;
}

async function listenOn(port: number): Promise<Server> {
  const server = createServer((_request, reply) => reply.end("ok"));
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, "close");
}

test("the list says that an upstream is down, by its layer, and that it is back; a route that is taken out is gone", async () => {
  const first = await listenOn(0);
  const { port } = first.address() as AddressInfo;
  await using own = await rig({ routes: { docs: port } }, { limits: { probeMs: 50 } });
  await using hub = await TestHub.start();
  await using _far = await offerAt(hub, await connectorToken(hub), own.tunnel);
  const told = (): Promise<unknown[]> =>
    routesOf(hub).then((routes) => routes.map(({ host: name, state, layer }) => [name, state, layer]));
  const becomes = (expected: unknown[]): Promise<unknown> =>
    eventually(async () => JSON.stringify(await told()) === JSON.stringify(expected));
  await becomes([[host, "up", null]]);
  await close(first);
  await becomes([[host, "down", "dial"]]);
  const second = await listenOn(port);
  await becomes([[host, "up", null]]);
  await close(second);
  await using wiki = await upstream();
  await own.next({ routes: { wiki: wiki.port } });
  await own.tunnel.reload();
  await becomes([[`wiki.${domain}`, "up", null]]);
});

test("of two connectors with one route the better health counts, and both are counted", async () => {
  await using docs = await upstream();
  const gone = await upstream();
  await gone[Symbol.asyncDispose]();
  await using well = await rig({ routes: { docs: docs.port } }, { limits: { probeMs: 50 } });
  await using ill = await rig({ routes: { docs: gone.port } }, { limits: { probeMs: 50 } });
  await using hub = await TestHub.start();
  const token = await connectorToken(hub);
  await using _ill = await offerAt(hub, token, ill.tunnel, "ill");
  await eventually(async () => (await routesOf(hub))[0]?.state === "down");
  await using _well = await offerAt(hub, token, well.tunnel, "well");
  const listed = await eventually(async () => {
    const [route] = await routesOf(hub);
    return route?.connectors === 2 && route.state === "up" ? route : undefined;
  });
  assert.equal(listed.layer, null);
});

test("a connector counts what passes its routes, under the names of its file whatever callers ask for", async () => {
  await using docs = await upstream();
  await using hub = await TestHub.start();
  const token = await connectorToken(hub);
  const metrics = `127.0.0.1:${await freePort()}`;
  const lines = [`sallyport: { metrics_addr: "${metrics}" }`];
  await using own = await connectorFolder(token, docs.port, lines);
  const { path, tokenFile, tunnel, state } = own;
  const flags = { hub: [hub.url], tokenFile, tunnel, state, logLevel: "silent" };
  const connector = new RunningRole((role) => runConnector(connectorSettings(flags, {}, path), role));
  await connector.ready.promise;
  try {
    await using caller = await callerAt(hub, token);
    const scrape = async (): Promise<string> => await (await fetch(`http://${metrics}/metrics`)).text();
    assert.equal((await caller.get("/first")).status, 200);
    const before = await scrape();
    assert.match(before, /sallyport_tunnel_requests_total\{route="docs",status="2xx"\} 1\n/);
    for (let at = 0; at < 20; at += 1) assert.equal((await caller.get(`/path-${at}?q=${at}`)).status, 200);
    const after = await scrape();
    assert.match(after, /sallyport_tunnel_requests_total\{route="docs",status="2xx"\} 21\n/);
    assert.match(after, /sallyport_tunnel_route_up\{route="docs"\} 1\n/);
    assert.equal(seriesIn(after), seriesIn(before), "what callers ask for makes no new series");
    assert.equal((await fetch(`http://${metrics}/readyz`)).status, 200);
  } finally {
    assert.equal(await connector.stop(), 0);
  }
});

function seriesIn(text: string): number {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
}
