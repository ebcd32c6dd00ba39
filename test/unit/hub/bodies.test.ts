import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { FastifyRequest } from "fastify";
import { Bodies, letBodyGo, type BodyLimits } from "../../../src/hub/api/bodies.ts";
import { heldBy } from "../../helpers/heap.ts";

const limits: BodyLimits = { mostBytes: 1_000_000, tenantBytes: 2_000_000, silenceMs: 60_000 };
/** bytes of which a body has to wait for its room */
const large = 100_000;

interface Asked {
  request: FastifyRequest;
  body: PassThrough;
  reading: Promise<number>;
  settled: boolean;
  /** its reply is over, or its client gone */
  over(): void;
}

/** A request whose body is sent by the test. */
async function ask(bodies: Bodies, tenant: string, length?: number): Promise<Asked> {
  const reply = new EventEmitter();
  const body = new PassThrough();
  const raw = { setTimeout: () => undefined, destroy: () => body.destroy() };
  const headers = length === undefined ? {} : { "content-length": String(length) };
  const request = { raw, headers, identity: { tenant }, reply, heldBody: null } as unknown as FastifyRequest;
  const reading = bodies.read(request, body).then(({ length }) => length);
  const asked: Asked = { request, body, reading, settled: false, over: () => void reply.emit("close") };
  reading.then(
    () => (asked.settled = true),
    () => (asked.settled = true),
  );
  if (length === undefined || length >= large) body.write(Buffer.alloc(large));
  await turns();
  return asked;
}

async function turns(): Promise<void> {
  for (let n = 0; n < 5; n += 1) await nextTurn();
}

test("bodies of one tenant wait for each other once they are too large together, nobody else's does", async () => {
  const bodies = new Bodies(limits);
  const first = await ask(bodies, "a", 1_000_000);
  const second = await ask(bodies, "a", 1_000_000);
  const third = await ask(bodies, "a", large);
  third.body.end();
  const other = await ask(bodies, "b", large);
  other.body.end();
  const little = await ask(bodies, "a", 10);
  little.body.end("x".repeat(10));
  assert.deepEqual([await other.reading, await little.reading], [large, 10]);
  assert.deepEqual([first.settled, second.settled, third.settled], [false, false, false]);
  second.over();
  assert.equal(await third.reading, large);
});

test("a body of unknown length takes as much room as the largest", async () => {
  const bodies = new Bodies(limits);
  const unknown = await ask(bodies, "a");
  const second = await ask(bodies, "a", 900_001);
  const third = await ask(bodies, "a", large);
  third.body.end();
  await turns();
  assert.equal(third.settled, false);
  unknown.over();
  assert.equal(await third.reading, large);
  second.over();
});

test("who leaves while it waits takes no room, and those behind it move up", async () => {
  const bodies = new Bodies(limits);
  const [first, second] = [await ask(bodies, "a", 1_000_000), await ask(bodies, "a", 1_000_000)];
  const waiting = await ask(bodies, "a", 1_000_000);
  const behind = await ask(bodies, "a", 1_000_000);
  waiting.over();
  await assert.rejects(waiting.reading, { code: "cancelled" });
  first.over();
  behind.body.end(Buffer.alloc(1_000_000 - large));
  assert.equal(await behind.reading, 1_000_000);
  second.over();
});

test("a body that is let go leaves its room before the reply is over", async () => {
  const bodies = new Bodies(limits);
  const [first, _second] = [await ask(bodies, "a", 1_000_000), await ask(bodies, "a", 1_000_000)];
  first.body.end(Buffer.alloc(1_000_000 - large));
  await first.reading;
  const third = await ask(bodies, "a", large);
  third.body.end();
  await turns();
  assert.equal(third.settled, false);
  letBodyGo(first.request);
  assert.equal(await third.reading, large);
});

test("a body is refused when it says that it is too large, and when it turns out to be", async () => {
  const bodies = new Bodies(limits);
  const said = await ask(bodies, "a", 1_000_001);
  await assert.rejects(said.reading, { code: "body_too_large" });
  const found = await ask(bodies, "a");
  found.body.end(Buffer.alloc(1_000_000));
  await assert.rejects(found.reading, { code: "body_too_large" });
  await once(found.body, "close");
});

test("a body in pieces of one byte takes little more memory than one in large pieces", async () => {
  const held = await heldBy(async () => {
    const asked = await ask(new Bodies(limits), "a");
    for (let n = 0; n < 500_000; n += 1) {
      asked.body.write(Buffer.from("x"));
      if (n % 1_000 === 0) await nextTurn();
    }
    await turns();
    assert.equal(asked.settled, false);
    return asked;
  });
  assert.ok(held < 5, `${held.toFixed(1)} MiB held`);
});

test("a body of which nothing comes any more is given up", async (t) => {
  const bodies = new Bodies({ ...limits, silenceMs: 50 });
  for (const sent of [1, large]) {
    const server = createServer((raw: IncomingMessage, reply) => {
      const request = { raw, headers: raw.headers, identity: { tenant: "a" }, reply, heldBody: null };
      reading = bodies.read(request as unknown as FastifyRequest, raw);
      reading.catch(() => undefined);
    });
    let reading: Promise<Buffer> | undefined;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => void server.close());
    const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
    client.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n${"x".repeat(sent)}`);
    await once(client, "close");
    await assert.rejects(reading ?? Promise.resolve(), { code: "stream_reset" });
  }
});
