/** Tokens change while everything runs: two at once, one revoked, files read again at each dial. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readSecretFile } from "../../src/config/index.ts";
import { isError } from "../../src/errors.ts";
import { openKeyRing } from "../../src/hub/index.ts";
import { silentLog } from "../../src/log.ts";
import { withDeadline } from "../../src/async/index.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { SimulatedWorker } from "../helpers/simulated-worker.ts";
import { EchoTunnel, offered, TestConnector } from "../helpers/tunnel.ts";

const key = (name: string) => ({ name, tenant: "default", weight: 1, scopes: ["connector"] as const });

test("a revoked token loses its live channel, whoever revoked it; the next one in the file takes over", async () => {
  await using hub = await TestHub.start();
  const file = join(hub.dir, "rack.token");
  await writeFile(file, await hub.keys.addKey(key("rack")), { mode: 0o600 });
  const offer = new EchoTunnel("a", [offered("docs.tunnel.example")]);
  await using connector = await TestConnector.start({
    url: hub.url,
    token: () => readSecretFile(file, "token"),
    offer,
  });
  const [first] = connector.channels;
  // another process, as `sallyport keys` is
  const elsewhere = await openKeyRing({ log: silentLog() }, { dir: hub.dir });
  const next = await elsewhere.addKey(key("rack-next"));
  await elsewhere.revokeKey("rack");
  const reason = await withDeadline(first?.closed ?? Promise.reject(new Error("none")), 10_000, "closing");
  assert.equal(reason.code, "unauthenticated");
  await eventually(() => connector.refusals.some((refusal) => isError(refusal, "unauthenticated")));
  await writeFile(file, next, { mode: 0o600 });
  await eventually(async () => (await hub.call("/v1/routes")).text.includes("docs.tunnel.example"));
});

test("two tokens of one worker are valid at once; revoking one leaves the channel of the other", async () => {
  await using hub = await TestHub.start();
  const scopes = ["worker", "connector"] as const;
  const [old, next] = [
    await hub.keys.addKey({ ...key("rack-1"), scopes }),
    await hub.keys.addKey({ ...key("rack-2"), scopes }),
  ];
  await using worker = await SimulatedWorker.start({ url: hub.url, token: old, workerId: "w1" });
  await using other = await SimulatedWorker.start({ url: hub.url, token: next, workerId: "w2" });
  await hub.keys.revokeKey("rack-1");
  assert.equal((await worker.channel?.closed)?.code, "unauthenticated");
  let over = false;
  void other.channel?.closed.then(() => (over = true));
  const { id } = await hub.submit();
  assert.equal((await hub.wait(id)).state, "succeeded");
  assert.equal(over, false);
});

test("a right taken from a key by hand closes its channels", async () => {
  await using hub = await TestHub.start();
  await using connector = await TestConnector.start({
    url: hub.url,
    token: (await readFile(join(hub.dir, "worker.token"), "utf8")).trim(),
  });
  const path = join(hub.dir, "keys.json");
  const { keys } = JSON.parse(await readFile(path, "utf8")) as { keys: { name: string; scopes: string[] }[] };
  const fewer = keys.map((entry) => (entry.name === "worker" ? { ...entry, scopes: ["worker"] } : entry));
  await writeFile(path, JSON.stringify({ keys: fewer }), { mode: 0o600 });
  const reason = await withDeadline(connector.channels[0]!.closed, 10_000, "closing");
  assert.equal(reason.code, "unauthenticated");
});
