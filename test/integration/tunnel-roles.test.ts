/** The roles as their commands run them: a hub with an edge, a connector with a tunnel file, and a caller from outside. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { connectorSettings, hubSettings } from "../../src/config/index.ts";
import { runConnector } from "../../src/roles/connector.ts";
import { runHub } from "../../src/roles/hub.ts";
import { isError } from "../../src/errors.ts";
import { forwardRemote, initCertificates } from "../../src/tunnel/index.ts";
import { eventually } from "../helpers/hub.ts";
import { RunningRole } from "../helpers/running-role.ts";
import { TestConnector } from "../helpers/tunnel.ts";

const domain = "tunnel.example";

let dir: string;
let upstream: Server;
let ca: string;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "sallyport-roles-"));
  await initCertificates({ dir, domain, days: 10, key: "ecdsa-p256" });
  ca = await readFile(join(dir, "ca.crt"), "utf8");
  upstream = createServer((asked, reply) => reply.end(`upstream got ${asked.url}`));
  await new Promise<void>((resolve) => void upstream.listen(0, "127.0.0.1", resolve));
});

after(async () => {
  upstream.closeAllConnections();
  upstream.close();
  await rm(dir, { recursive: true, force: true });
});

async function writeTunnel(names: readonly string[]): Promise<string> {
  const { port } = upstream.address() as AddressInfo;
  const file = join(dir, "tunnel.yaml");
  const lines = [
    `tunnel_domain: ${domain}`,
    "tls:",
    "  cert_file: tls.crt",
    "  key_file: tls.key",
    "routes:",
    ...names.map((name) => `  ${name}: http://127.0.0.1:${port}`),
    "upstream:",
    "  allowed_ips: [127.0.0.1]",
  ];
  await writeFile(file, `${lines.join("\n")}\n`);
  return file;
}

/** GET through the edge, with the tunnel's CA as the only one that is trusted. */
async function get(edge: string, host: string): Promise<{ status: number; body: string }> {
  const port = Number(edge.split(":").at(-1));
  return await new Promise((resolve, reject) => {
    const socket = tlsConnect({ host: "127.0.0.1", port, servername: host, ca });
    const asked = request(
      { host, path: "/mcp?x=1", createConnection: () => socket },
      (reply) => void text(reply).then((body) => resolve({ status: reply.statusCode ?? 0, body }), reject),
    );
    asked.on("error", reject);
    asked.end();
  });
}

test("a caller reaches an upstream by name; the file is read again; SIGTERM drains; a bad file keeps the old", async () => {
  const hubDir = join(dir, "hub");
  const hub = new RunningRole((host) =>
    runHub(
      hubSettings({ listen: "127.0.0.1:0", edge: "127.0.0.1:0", state: hubDir, logLevel: "silent" }, {}, dir),
      host,
    ),
  );
  const { url, edge } = (await hub.ready.promise) as { url: string; edge: string };
  const flags = {
    hub: [url],
    tokenFile: join(hubDir, "connector.token"),
    tunnel: await writeTunnel(["docs"]),
    state: join(dir, "connector"),
    logLevel: "silent",
  };
  const connector = new RunningRole((host) => runConnector(connectorSettings(flags, {}, dir), host));
  const ready = await connector.ready.promise;
  assert.deepEqual(ready["routes"], [`docs.${domain}`]);
  assert.match(String(ready["connector"]), /^connector-/);
  assert.deepEqual(await get(edge, `docs.${domain}`), { status: 200, body: "upstream got /mcp?x=1" });

  await using worker = await TestConnector.start({
    url,
    token: (await readFile(join(hubDir, "connector.token"), "utf8")).trim(),
    connectorId: "other",
  });
  await using remote = forwardRemote({ remote: worker.end, caFiles: [join(dir, "ca.crt")] });
  const asked = { id: "r1", method: "GET", target: "/remote", headers: [], body: null };
  const far = await remote.forward({ ...asked, host: `docs.${domain}` }, new AbortController().signal);
  assert.deepEqual([far.status, await text(far.body)], [200, "upstream got /remote"]);
  const nowhere = remote.forward({ ...asked, host: `nowhere.${domain}` }, new AbortController().signal);
  await assert.rejects(
    nowhere,
    (error) => isError(error, "route_unknown") && error.details["layer"] === "name",
  );

  await writeTunnel(["docs", "wiki"]);
  connector.hangUp();
  await eventually(async () => (await get(edge, `wiki.${domain}`).catch(() => null))?.status === 200);

  await writeFile(join(dir, "tunnel.yaml"), "routes:\n  - docs\n");
  connector.hangUp();
  // nothing is told of a reload that was refused; what was there before goes on
  await new Promise((resolve) => void setTimeout(resolve, 200));
  assert.equal((await get(edge, `wiki.${domain}`)).status, 200);

  assert.equal(await connector.stop(), 0);
  await assert.rejects(get(edge, `docs.${domain}`), /self-signed/);
  assert.equal(await hub.stop(), 0);
});
