/** What a body that stands still makes the gateway hold, when it comes in chunks of one byte. */
import assert from "node:assert/strict";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createHttpClient, type Forward } from "../../../src/exchange/index.ts";
import { docs } from "../../helpers/gateway-client.ts";
import { startGateway, type Sandbox } from "../../helpers/gateway-rig.ts";
import { heldBy } from "../../helpers/heap.ts";

const head = "transfer-encoding: chunked\r\ncontent-type: application/octet-stream\r\n\r\n";
const upload = `PUT / HTTP/1.1\r\nhost: ${docs}\r\n${head}`;
const crumbs = Buffer.from("1\r\nx\r\n".repeat(2 ** 13));
const connections = 4;

/** A way to an upstream that never reads, and says `says`. */
function standingStill(says: (upstream: Duplex) => void): { forward: Forward; client: AsyncDisposable } {
  const client = createHttpClient({
    connect: async () => {
      const [near, far] = duplexPair({ readableHighWaterMark: 1 });
      says(far);
      return near;
    },
  });
  return { forward: client.forward, client };
}

/** 400,000 chunks of one byte, of which as many are taken as find room; resolves once nothing moves any more. */
async function sendCrumbs(to: Duplex): Promise<void> {
  for (let at = 0; at < 48; at += 1) {
    to.write(crumbs);
    await setImmediate();
  }
  for (let turn = 0; turn < 200; turn += 1) await setImmediate();
}

/** MiB of the heap that one of the connections keeps. */
async function heldByOne(hold: () => Promise<Duplex>): Promise<number> {
  const all = await heldBy(async () => {
    const programs: Duplex[] = [];
    for (let at = 0; at < connections; at += 1) programs.push(await hold());
    return programs;
  });
  return all / connections;
}

const ways: Record<string, (sandbox: Sandbox) => Promise<Duplex>> = {
  TLS: (sandbox) => sandbox.tls(docs),
  plain: async (sandbox) => sandbox.guest.dial(80),
};

for (const [name, dial] of Object.entries(ways)) {
  test(`an upload in crumbs that its upstream does not take costs little more than its bytes (${name})`, async () => {
    await using rig = startGateway();
    const { forward, client } = standingStill(() => undefined);
    await using _client = client;
    Object.assign(rig.local, { forward });
    const sandbox = await rig.attach([{ host: "docs" }]);
    const held = await heldByOne(async () => {
      const program = await dial(sandbox);
      program.write(upload);
      await sendCrumbs(program);
      return program;
    });
    assert.ok(held < 0.6, `${held} MiB`);
  });
}

test("a reply in crumbs that its caller does not take costs little more than its bytes", async () => {
  await using rig = startGateway();
  const upstreams: Duplex[] = [];
  const { forward, client } = standingStill((far) => {
    upstreams.push(far);
    far.write(`HTTP/1.1 200 OK\r\n${head}`);
  });
  await using _client = client;
  Object.assign(rig.local, { forward });
  const sandbox = await rig.attach([{ host: "docs" }]);
  const held = await heldByOne(async () => {
    const program = sandbox.guest.dial(80);
    program.write(`GET / HTTP/1.1\r\nhost: ${docs}\r\n\r\n`);
    while (upstreams.length === 0) await setImmediate();
    for (const upstream of upstreams.splice(0)) await sendCrumbs(upstream);
    return program;
  });
  assert.ok(held < 3, `${held} MiB`);
});
