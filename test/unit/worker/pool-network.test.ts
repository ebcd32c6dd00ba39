/** The pool and the network: which hosts what waits was made for, and how it follows the routes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Profile } from "../../../src/sandbox/index.ts";
import { fakeNetwork } from "../../helpers/fake-network.ts";
import { eventually } from "../../helpers/hub.ts";
import { bench, pooled } from "../../helpers/pool-bench.ts";

const netted = (name: string, warm: number): Profile =>
  pooled(name, warm, { network: { mcp: [{ host: "*" }] } });

test("a job with other hosts than the waiting sandboxes gets one of its own", async () => {
  const profile = pooled("p", 1);
  await using it = bench({ profiles: [profile] });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 1);
  await using held = await it.get(profile, ["docs"]);
  assert.deepEqual([held.warm, it.pool.count(profile)], [false, 1]);
});

test("what waits serves jobs that are granted any of its names, or none; other names go cold", async () => {
  const profile = netted("p", 2);
  const network = fakeNetwork("docs", "wiki");
  await using it = bench({ profiles: [profile], network });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 2);
  await using other = await it.get(profile, ["late.t.test"]);
  await using one = await it.get(profile, ["wiki.t.test"]);
  await using none = await it.get(profile);
  assert.deepEqual([other.warm, one.warm, none.warm], [false, true, true]);
});

test("a sandbox made ahead and one made for a job are given the same variables and the same authority", async () => {
  const profile = netted("p", 1);
  await using it = bench({ profiles: [profile], network: fakeNetwork("docs") });
  await using cold = await it.get(profile);
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 1);
  await using warm = await it.get(profile);
  assert.deepEqual([cold.warm, warm.warm], [false, true]);
  assert.deepEqual(warm.env, cold.env);
  for (const { sandbox, env } of [cold, warm]) {
    const file = sandbox.guest.files.get(env["SSL_CERT_FILE"] ?? "", 1_000);
    assert.equal(Buffer.concat(await Array.fromAsync(file)).toString(), "CERTIFICATE");
  }
});

test("when routes change, what waits is renewed one at a time until all have the new names", async () => {
  const profile = netted("p", 4);
  const network = fakeNetwork("docs");
  await using it = bench({ profiles: [profile], network, concurrency: 1 });
  it.pool.start();
  await eventually(async () => it.pool.count(profile) === 4);
  network.setRoutes(["docs", "wiki"]);
  let least = 4;
  it.pool.refresh();
  await eventually(async () => {
    least = Math.min(least, it.pool.count(profile));
    return it.creates() === 8 && it.pool.count(profile) === 4;
  });
  assert.equal(least, 3, "never more than one is missing");
  const held = await Promise.all(Array.from({ length: 4 }, () => it.get(profile, ["wiki.t.test"])));
  assert.deepEqual(
    held.map(({ warm }) => warm),
    [true, true, true, true],
  );
  for (const one of held) await one[Symbol.asyncDispose]();
});
