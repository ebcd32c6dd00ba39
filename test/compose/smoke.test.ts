/** compose.yaml from nothing to nothing: up, jobs that call an MCP server, a hub killed, everything upgraded under load, down. */
import assert from "node:assert/strict";
import { request } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { requireEngine, rawEngine } from "../helpers/docker.ts";
import { imagesFor } from "./images.ts";
import { startLoad } from "./load.ts";
import { composeTool, Project, until } from "./project.ts";

const dockerHost = process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock";
const tool = await composeTool();
const skip = await reasonToSkip();
let project: Project;

async function reasonToSkip(): Promise<string | false> {
  const engine = await requireEngine();
  if (engine !== false) return engine;
  if (!dockerHost.startsWith("unix:")) return "the engine has no socket on this host";
  if (!("missing" in tool)) return false;
  if (process.env["CI"] !== undefined) throw new Error(tool.missing);
  return tool.missing;
}

before(async () => {
  if (skip !== false || "missing" in tool) return;
  project = await Project.up(tool, await imagesFor(dockerHost));
});

after(async () => {
  if (skip === false) await project[Symbol.asyncDispose]();
});

const docs = ["--profile", "python", "--mcp", "docs", "--file", join(import.meta.dirname, "call-docs.py")];

test("a job calls what its route allows, and is refused the rest", { skip }, async () => {
  assert.equal(await project.run(...docs), "Leave:\ntool_not_allowed\n");
});

test(
  "a caller from outside reaches the route through the load balancer, over TLS that ends at the connector",
  { skip },
  async () => {
    const ca = await project.inside("worker-1", "cat", "/etc/sallyport/worker/ca.crt");
    const port = Number((await project.compose("port", "lb", "7443")).trim().split(":").at(-1));
    const servername = "docs.tunnel.internal";
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, servername, ca }).on("error", reject);
      const asked = request({ host: servername, path: "/mcp", createConnection: () => socket }, (reply) => {
        void text(reply).then(() => resolve(reply.statusCode), reject);
      });
      asked.on("error", reject).end();
    });
    assert.equal(status, 400, "the sample itself answers, and asks for a session");
  },
);

test("no service has a right it does without, and only workers reach the engine", { skip }, async () => {
  for (const { name, inspected } of await project.containers()) {
    const { HostConfig: host, Config: config, Mounts: mounts } = inspected;
    assert.equal(host.ReadonlyRootfs, true, name);
    assert.deepEqual([host.CapDrop, host.CapAdd, host.Privileged], [["ALL"], null, false], name);
    assert.deepEqual(host.SecurityOpt, ["no-new-privileges:true"], name);
    assert.doesNotMatch(config.User, /^(|0|root)(:|$)/, name);
    assert.ok((host.Memory ?? 0) > 0 && (host.PidsLimit ?? 0) > 0, name);
    assert.ok(name === "init" || config.Healthcheck?.Test !== undefined, name);
    const hasSocket = mounts.some(({ Destination: path }) => path.endsWith("docker.sock"));
    assert.equal(hasSocket, name.startsWith("worker-"), name);
    assert.ok(!(config.Env ?? []).some((line) => /(PASSWORD|TOKEN|KEY)=/.test(line)), name);
  }
});

test("a hub that is killed takes no job and no byte with it, and comes back", { skip }, async () => {
  const load = startLoad(project.client, 2);
  await until(async () => load.finished > 0, 30_000);
  const { inspected } = await project.container("hub-1");
  await rawEngine().getContainer(inspected.Id).kill();
  const before = load.finished;
  await until(async () => load.finished >= before + 4, 60_000);
  assert.equal(await project.run(...docs), "Leave:\ntool_not_allowed\n");
  const report = await load.stop();
  assert.deepEqual(report.faults, []);
  await project.compose("up", "-d", "--no-deps", "hub-1");
  await project.healthy("hub-1");
});

test(
  "hubs and workers are upgraded one after another under load: no job fails, no stream has a gap",
  { skip },
  async () => {
    const load = startLoad(project.client, 3);
    for (const service of ["hub-1", "hub-2"]) await project.upgrade(service);
    for (const service of ["worker-1", "worker-2"]) await project.upgrade(service);
    const before = load.finished;
    await until(async () => load.finished > before, 30_000);
    const { jobs, faults, resumed } = await load.stop();
    console.log(`# ${jobs} jobs, ${faults.length} faults, ${resumed} streams resumed`);
    assert.deepEqual(faults, []);
    assert.ok(resumed > 0, "streams were open on what was replaced");
    await until(async () => (await project.readyWorkers()) === 2, 30_000);
  },
);

test("down leaves nothing behind", { skip }, async () => {
  const workers = (await project.client.workers.list()).map(({ id }) => id);
  assert.ok(workers.length >= 2);
  await project.down();
  assert.deepEqual(await project.leftovers(workers), []);
});
