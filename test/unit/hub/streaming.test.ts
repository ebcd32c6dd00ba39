import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { test } from "node:test";
import { sendEvents, sendLive, type LiveReply } from "../../../src/hub/api/streaming.ts";
import type { JobEvent } from "../../../src/hub/live/job-events.ts";
import { silentLog } from "../../../src/log.ts";
import { eventually } from "../../helpers/hub.ts";

type Raw = LiveReply["reply"]["raw"];

type Target = Pick<LiveReply, "reply" | "headers" | "signal" | "log">;

/** A reply as fastify hands it out, answered by `send`, and a client that reads nothing yet. */
async function stalledReader(send: (target: Target, raw: Raw) => Promise<void>) {
  await using held = new AsyncDisposableStack();
  const server = createServer((_request, raw) => {
    const reply = { raw, hijack: () => reply, getHeaders: () => ({}), request: { id: "r" } };
    const left = new AbortController();
    raw.once("close", () => left.abort());
    const target = { reply: reply as unknown as LiveReply["reply"], signal: left.signal };
    void send({ ...target, headers: {}, log: silentLog() }, raw);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  held.defer(() => void server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  held.defer(() => void client.destroy());
  client.pause();
  client.write("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  const parts = held.move();
  return { client, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

test("a reader that stalls keeps little in memory, however small the batches it is sent are", async () => {
  const batchBytes = 20_000;
  const batches = 1_500;
  let most = 0;
  let sent = 0;
  let waits = false;
  await using reader = await stalledReader(async (target, raw) => {
    async function* small(): AsyncGenerator<Uint8Array[]> {
      for (; sent < batches; sent += 1) {
        most = Math.max(most, raw.writableLength);
        setImmediate(() => (waits ||= raw.writableNeedDrain));
        yield [Buffer.alloc(batchBytes, sent)];
      }
    }
    await sendLive({ ...target, status: 200 }, small());
  });
  await eventually(() => waits || sent === batches);
  let received = 0;
  reader.client.on("data", (bytes) => (received += bytes.length));
  reader.client.resume();
  await once(reader.client, "end");
  assert.ok(received > batches * batchBytes, "all of it arrives once the reader reads");
  assert.ok(most < 2 ** 20, `${most} bytes were kept for it`);
});

test("a reader that keeps up gets everything, whatever parts the batches are made of", async () => {
  for (const partBytes of [30_000, 40_000, 65_525, 70_000]) {
    await using reader = await stalledReader(async (target) => {
      async function* batches(): AsyncGenerator<Uint8Array[]> {
        for (let sent = 0; sent < 50; sent += 1) yield [Buffer.alloc(partBytes), Buffer.alloc(partBytes)];
      }
      await sendLive({ ...target, status: 200 }, batches());
    });
    let received = 0;
    reader.client.on("data", (bytes) => (received += bytes.length));
    reader.client.resume();
    await eventually(() => received > 100 * partBytes);
  }
});

test("events go out in their order and to the byte, small ones together", async () => {
  const output = (position: number, data: Record<string, unknown>): JobEvent => ({
    id: `1.1:${position}`,
    event: "stdout",
    data,
  });
  const batch = [
    output(1, { at: "t", offset: 0, text: "ä\n" }),
    output(2, { at: "t", offset: 3, text: "b" }),
    output(3, { at: "t", offset: 4, base64: "gIE=" }),
    output(4, { at: "t", offset: 6, base64: Buffer.alloc(3_072, 0xff).toString("base64") }),
    output(5, { at: "t", offset: 3_078, text: "c" }),
  ];
  const written: Buffer[] = [];
  await using reader = await stalledReader(async (target, raw) => {
    const write = raw.write.bind(raw) as (part: string | Uint8Array, encoding: BufferEncoding) => boolean;
    raw.write = ((part: string | Uint8Array, encoding: BufferEncoding) => {
      written.push(Buffer.from(part as string, encoding));
      return write(part, encoding);
    }) as typeof raw.write;
    async function* one(): AsyncGenerator<JobEvent[]> {
      yield batch;
    }
    await sendEvents(target, one());
  });
  reader.client.resume();
  await once(reader.client, "end");
  const expected = batch.map(
    ({ id, event, data }) => `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`,
  );
  assert.equal(Buffer.concat(written).toString(), expected.join(""));
  assert.equal(written.length, 3);
});
