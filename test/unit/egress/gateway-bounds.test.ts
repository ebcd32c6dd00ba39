/** The bounds of one sandbox at the gateway: bytes, heads, requests and connections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesBody } from "../../../src/exchange/index.ts";
import { docs } from "../../helpers/gateway-client.ts";
import { reply, startGateway } from "../../helpers/gateway-rig.ts";

test("bytes, heads and requests per second have their bounds, told as what they are", async () => {
  await using rig = startGateway(
    { bytesFrom: 1_000, bytesTo: 100_000, headerBytes: 2_000, requestsPerSecond: 10 },
    () => 0,
  );
  const sandbox = await rig.attach([{ host: "docs" }]);
  const upload = (bytes: number) =>
    sandbox.ask(`https://${docs}/`, { method: "PUT", body: "x".repeat(bytes) });
  assert.equal((await upload(600)).status, 200);
  const more = await upload(600);
  assert.deepEqual(
    [more.status, reasonOf(more.text)],
    [429, "network_limit_exceeded"],
    "more than it may send",
  );
  await assert.rejects(
    upload(600_000).then(({ status }) => assert.equal(status, 200)),
    "the same in many pieces",
  );
  assert.equal((await sandbox.ask(`https://${docs}/`, { headers: { big: "x".repeat(4_000) } })).status, 431);
  rig.local.answer = () => reply(200, "y".repeat(200_000));
  await assert.rejects(sandbox.ask(`https://${docs}/`), "more than it may get");
  const statuses: number[] = [];
  rig.local.answer = () => reply(200, "");
  const busy = await rig.attach([{ host: "docs" }], "busy");
  for (let turn = 0; turn < 12; turn += 1) statuses.push((await busy.ask(`http://${docs}/`)).status);
  assert.ok(statuses.includes(200) && statuses.at(-1) === 429, statuses.join());
});

test("a short reply that is more than a sandbox may get breaks off, as the call may have been made", async () => {
  await using rig = startGateway({ bytesTo: 1_000 });
  const sandbox = await rig.attach([{ host: "docs" }]);
  rig.local.answer = () => reply(200, bytesBody(Buffer.alloc(500)));
  for (const _half of [1, 2]) assert.equal((await sandbox.ask(`https://${docs}/`)).status, 200);
  await assert.rejects(sandbox.ask(`https://${docs}/`));
  assert.deepEqual(
    rig.audit.map(({ outcome }) => outcome),
    [undefined, undefined, "broken_off"],
  );
});

test("a flood of connections holds up neither the worker nor another sandbox", async () => {
  await using rig = startGateway({ connections: 4 });
  const [noisy, quiet] = [
    await rig.attach([{ host: "docs" }], "noisy"),
    await rig.attach([{ host: "docs" }], "quiet"),
  ];
  for (let turn = 0; turn < 500; turn += 1) noisy.guest.dial([443, 80, 3128][turn % 3] ?? 443);
  assert.equal(
    noisy.guest.hostEnds.filter(({ destroyed }) => !destroyed).length,
    10,
    "four served, six in line",
  );
  assert.equal((await quiet.ask(`https://${docs}/`)).status, 200);
  for (const end of noisy.guest.hostEnds) end.destroy();
  assert.equal((await noisy.ask(`https://${docs}/`)).status, 200, "its own come through again");
});

const reasonOf = (text: string): unknown => (JSON.parse(text) as { error: unknown }).error;
