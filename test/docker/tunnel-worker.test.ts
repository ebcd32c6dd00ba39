/** Roles that bring their own routes into sandboxes: what they tell of them, to the hub and to whoever scrapes them. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { startSampleServer } from "../../src/mcp/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { Fleet } from "../helpers/fleet.ts";
import { freePort } from "../helpers/free-port.ts";
import { eventually } from "../helpers/hub.ts";

const skip = await requireEngine();
const host = "docs.t.test";
/** upstreams are looked at every 10 s */
const noticeMs = 40_000;

const caller = `
import json, urllib.request
version = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": version}).encode()
accept = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
with urllib.request.urlopen(urllib.request.Request("https://${host}/mcp", body, accept), timeout=20) as response:
    print(response.status)
`;

interface Tunnelled extends AsyncDisposable {
  fleet: Fleet;
  /** the file that makes `docs` a route and says where its figures are */
  file: string;
  /** One job calls `docs`, which its figures then show. */
  callOnce: () => Promise<void>;
  scrape: () => Promise<string>;
}

async function tunnelTo(port: number): Promise<Tunnelled> {
  const fleet = await Fleet.make();
  const metrics = `127.0.0.1:${await freePort()}`;
  const file = join(fleet.dir, "tunnel.yaml");
  const lines = [
    "tunnel_domain: t.test",
    `routes: { docs: "http://127.0.0.1:${port}" }`,
    "upstream: { allowed_ips: [127.0.0.1] }",
    `sallyport: { metrics_addr: "${metrics}" }`,
  ];
  await writeFile(file, lines.join("\n"));
  const scrape = async (): Promise<string> => await (await fetch(`http://${metrics}/metrics`)).text();
  const callOnce = async (): Promise<void> => {
    const { code, stdout, stderr } = await fleet.run(["run", "--mcp", "docs", "-c", caller]);
    assert.deepEqual([code, stdout.toString()], [0, "200\n"], stderr);
    assert.match(await scrape(), /sallyport_tunnel_requests_total\{route="docs",status="2xx"\} 1\n/);
    assert.equal((await fetch(`http://${metrics}/readyz`)).status, 200);
  };
  return { fleet, file, callOnce, scrape, [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose]() };
}

test("dev with a tunnel file counts its requests by route", { skip }, async () => {
  await using sample = await startSampleServer();
  await using tunnelled = await tunnelTo(sample.port);
  await tunnelled.fleet.startDev(["--tunnel", tunnelled.file]);
  await tunnelled.callOnce();
});

test(
  "a worker with a tunnel file counts its requests by route; the list says when its upstream is down, and when it is back",
  { skip },
  async () => {
    await using first = await startSampleServer();
    const { port } = first;
    await using tunnelled = await tunnelTo(port);
    const { fleet, scrape } = tunnelled;
    await fleet.startHub();
    await fleet.startWorker({ flags: ["--tunnel", tunnelled.file] });
    const becomes = async (state: string, layer: string | null): Promise<void> => {
      await eventually(async () => (await fleet.client.routes.list())[0]?.state === state, noticeMs);
      const { stdout } = await fleet.run(["routes", "ls", "--json"]);
      const { routes } = JSON.parse(stdout.toString()) as { routes: Record<string, unknown>[] };
      assert.deepEqual(
        routes.map((route) => [route["host"], route["state"], route["layer"]]),
        [[host, state, layer]],
      );
      const up = state === "up" ? 1 : 0;
      assert.match(await scrape(), new RegExp(`sallyport_tunnel_route_up\\{route="docs"\\} ${up}\n`));
    };
    await becomes("up", null);
    await tunnelled.callOnce();
    await first[Symbol.asyncDispose]();
    await becomes("down", "dial");
    await using _second = await startSampleServer({ port });
    await becomes("up", null);
  },
);
