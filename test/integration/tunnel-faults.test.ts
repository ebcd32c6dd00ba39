/** What a program is told when its way to a tool breaks in the middle of a call: the truth, once, by its layer. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { withDeadline } from "../../src/async/index.ts";
import { createAuthority, type CertifiedKey } from "../../src/tunnel/index.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { callerAt, connectorFolder, connectorToken, heldUpstream, offerAt } from "../helpers/tunnel-path.ts";
import type { Caller, HeldUpstream } from "../helpers/tunnel-path.ts";
import { authority, domain, folder, rig, serverKey } from "../unit/tunnel/proxy/rig.ts";
import { upstream } from "../unit/tunnel/proxy/upstream.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const wait = { limits: { responseHeaderMs: 30_000 } };

/** A call that waits at its upstream while `fault` is done to its way. */
async function brokenBy(caller: Caller, docs: HeldUpstream, fault: () => unknown): Promise<unknown[]> {
  const called = caller.callTool("held");
  await withDeadline(docs.reached.promise, 10_000, "the call to arrive");
  await fault();
  const { answer, reason, layer } = await withDeadline(called, 10_000, "an answer");
  assert.equal(answer, null);
  return [reason, layer];
}

async function answered(caller: Caller, label: string): Promise<boolean> {
  return (await caller.callTool(label)).answer !== null;
}

test("a call that waits is answered when nothing breaks (control)", async () => {
  await using docs = await heldUpstream();
  await using own = await rig({ routes: { docs: docs.port } }, wait);
  await using hub = await TestHub.start();
  const token = await connectorToken(hub);
  await using _far = await offerAt(hub, token, own.tunnel);
  await using caller = await callerAt(hub, token);
  const called = caller.callTool("held");
  await docs.reached.promise;
  docs.release.resolve();
  assert.deepEqual((await called).answer, { content: [] });
  assert.deepEqual(docs.labels(), ["held"]);
});

/** The connector as its command runs it. */
async function spawnConnector(hub: TestHub, token: string, docs: HeldUpstream) {
  await using stack = new AsyncDisposableStack();
  const { tokenFile, tunnel, state } = stack.use(await connectorFolder(token, docs.port));
  const flags = ["--hub", hub.url, "--token-file", tokenFile, "--tunnel", tunnel, "--state", state];
  const child = spawn(process.execPath, [main, "connector", ...flags], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const exited = once(child, "exit");
  stack.defer(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  await withDeadline(once(createInterface({ input: child.stdout }), "line"), 20_000, "the connector");
  const owned = stack.move();
  return { child, exited, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("a connector that is killed in mid-call leaves the outcome unknown, and the call is not made again", async () => {
  await using docs = await heldUpstream();
  await using hub = await TestHub.start();
  const token = await connectorToken(hub);
  await using killed = await spawnConnector(hub, token, docs);
  await using caller = await callerAt(hub, token);
  assert.ok(await answered(caller, "before"));
  const told = await brokenBy(caller, docs, async () => {
    killed.child.kill("SIGKILL");
    await killed.exited;
  });
  assert.deepEqual(told, ["outcome_unknown", "edge"]);
  // another connector of the same tunnel is there from here on: nobody may think of giving it the call
  await using own = await rig({ routes: { docs: docs.port } });
  await using _next = await offerAt(hub, token, own.tunnel);
  await eventually(async () => await answered(caller, "after"));
  assert.deepEqual(
    docs.labels().filter((label) => label === "held"),
    ["held"],
  );
});

test("a hub that is restarted in mid-call leaves the outcome unknown, and further calls go by the new one", async () => {
  await using docs = await heldUpstream();
  await using own = await rig({ routes: { docs: docs.port } }, wait);
  await using dir = await folder();
  await using first = await TestHub.start({ dir: dir.path });
  const token = await connectorToken(first);
  await using far = await offerAt(first, token, own.tunnel);
  await using caller = await callerAt(first, token);
  const told = await brokenBy(caller, docs, () => first.stop());
  assert.deepEqual(told, ["outcome_unknown", "edge"]);
  await using second = await TestHub.start({ dir: dir.path });
  far.url = second.url;
  caller.near.url = second.url;
  await eventually(async () => await answered(caller, "after"));
  assert.deepEqual(
    docs.labels().filter((label) => label === "held"),
    ["held"],
  );
});

test("a call outlives its route, and the next one is told that there is none", async () => {
  await using docs = await heldUpstream();
  await using canary = await upstream();
  await using own = await rig({ routes: { docs: docs.port } }, wait);
  await using hub = await TestHub.start();
  const token = await connectorToken(hub);
  await using _far = await offerAt(hub, token, own.tunnel);
  await using caller = await callerAt(hub, token);
  const called = caller.callTool("held");
  await docs.reached.promise;
  await own.next({ routes: { wiki: canary.port } });
  await own.tunnel.reload();
  await eventually(() => caller.near.end.routes().every((route) => !route.host.startsWith("docs")));
  const { answer, reason, layer } = await caller.callTool("refused");
  assert.deepEqual([answer, reason, layer], [null, "route_unknown", "route"]);
  assert.deepEqual([docs.labels(), canary.requests.length], [["held"], 0]);
  docs.release.resolve();
  assert.deepEqual((await called).answer, { content: [] });
  await own.next({ routes: { docs: docs.port } });
  await own.tunnel.reload();
  await eventually(async () => await answered(caller, "again"));
});

const stranger = createAuthority({ commonName: "stranger", days: 10 });
const issued = (days: number, name = domain): Promise<CertifiedKey> =>
  authority.issueServerCertificate({ domain: name, days, key: "ecdsa-p256" });

const identities: [name: string, key: CertifiedKey, caPem: string, holds: boolean][] = [
  ["an expired certificate", await issued(-1), authority.certPem, false],
  ["a certificate of another name", await issued(5, "other.test"), authority.certPem, false],
  ["a certificate of an authority that is not trusted", serverKey, stranger.certPem, false],
  ["a valid certificate (control)", serverKey, authority.certPem, true],
];

for (const [name, key, caPem, holds] of identities) {
  test(`inner TLS with ${name}: ${holds ? "the call arrives" : "nothing is sent"}`, async () => {
    await using docs = await heldUpstream();
    await using own = await rig({ routes: { docs: docs.port } }, {}, key);
    await using hub = await TestHub.start();
    const token = await connectorToken(hub);
    await using _far = await offerAt(hub, token, own.tunnel);
    await using caller = await callerAt(hub, token, { caPem });
    const { answer, reason, layer } = await caller.callTool("tls");
    assert.deepEqual([reason, layer], holds ? [null, null] : ["certificate_invalid", "inner_tls"]);
    assert.equal(answer !== null, holds);
    assert.deepEqual(docs.labels(), holds ? ["tls"] : []);
  });
}
