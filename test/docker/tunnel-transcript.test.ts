/**
 * The official MCP client, unmodified, in a sandbox against server-everything: what it sees is what it sees without us, the local
 * way and through hub and connector.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createClient, type Client } from "../../src/client/index.ts";
import { connectorSettings, hubSettings, workerSettings } from "../../src/config/index.ts";
import { runConnector } from "../../src/roles/connector.ts";
import { runHub } from "../../src/roles/hub.ts";
import { runWorker } from "../../src/roles/worker.ts";
import { initCertificates } from "../../src/tunnel/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { startEverything } from "../helpers/everything.ts";
import { RunningRole } from "../helpers/running-role.ts";

const skip = await requireEngine();
const exec = promisify(execFile);
const domain = "tunnel.example";
const script = fileURLToPath(new URL("../fixtures/mcp/transcript.mjs", import.meta.url));

const stack = new AsyncDisposableStack();
let client: Client;
let upstream: string;

async function writeTunnel(dir: string, route: string): Promise<string> {
  const file = join(dir, `${route}.yaml`);
  const lines = [
    `tunnel_domain: ${domain}`,
    "tls: { cert_file: tls.crt, key_file: tls.key }",
    `routes: { ${route}: "${new URL(upstream).origin}" }`,
    "upstream: { allowed_ips: [127.0.0.1] }",
  ];
  await writeFile(file, `${lines.join("\n")}\n`);
  return file;
}

async function start(run: ConstructorParameters<typeof RunningRole>[0]): Promise<Record<string, unknown>> {
  const role = new RunningRole(run);
  stack.defer(async () => void (await role.stop()));
  return await role.ready.promise;
}

before(async () => {
  if (skip !== false) return;
  const dir = await mkdtemp(join(tmpdir(), "sallyport-transcript-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  upstream = stack.use(await startEverything()).url;
  await initCertificates({ dir, domain, days: 10, key: "ecdsa-p256" });
  const state = join(dir, "hub");
  const common = { logLevel: "silent" };
  const hub = await start((host) =>
    runHub(hubSettings({ ...common, listen: "127.0.0.1:0", state }, {}, dir), host),
  );
  const url = String(hub["url"]);
  const own = (role: string): { tokenFile: string; state: string; logLevel: string } => ({
    ...common,
    tokenFile: join(state, `${role}.token`),
    state: join(dir, role),
  });
  const far = { ...own("connector"), hub: [url], tunnel: await writeTunnel(dir, "far") };
  await start((host) => runConnector(connectorSettings(far, {}, dir), host));
  const near = { tunnel: await writeTunnel(dir, "near"), tunnelCa: join(dir, "ca.crt") };
  const worker = { ...own("worker"), ...near, hub: url, pool: false, slots: "2" };
  await start((host) => runWorker(workerSettings(worker, {}, dir), host));
  const key = (await readFile(join(state, "admin.key"), "utf8")).trim();
  client = createClient({ url, key });
});

after(async () => await stack.disposeAsync());

async function inside(route: string): Promise<string> {
  const job = await client.jobs.submit({
    profile: "node",
    code: await readFile(script, "utf8"),
    env: { MCP_URL: `https://${route}.${domain}/mcp` },
    mcp: [{ host: route }],
  });
  const { result } = await client.jobs.get(job.id, { waitMs: 60_000 });
  const read = async (stream: Promise<AsyncIterable<Uint8Array>>): Promise<string> =>
    Buffer.concat(await Array.fromAsync(await stream)).toString("utf8");
  assert.equal(result?.state, "succeeded", await read(client.jobs.stderr(job.id)));
  return await read(client.jobs.stdout(job.id));
}

test(
  "tools, resources, prompts, progress, sampling and a resumed session: the same transcript every way",
  { skip },
  async () => {
    const env = { PATH: process.env["PATH"], MCP_URL: upstream };
    const direct = (await exec(process.execPath, [script], { env, maxBuffer: 2 ** 24 })).stdout;
    const steps = direct
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { step: string }).step);
    assert.ok(["tools", "prompts", "progress", "sampling", "resumed"].every((step) => steps.includes(step)));
    for (const route of ["near", "far"])
      assert.deepEqual((await inside(route)).split("\n"), direct.split("\n"), route);
  },
);
