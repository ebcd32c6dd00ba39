import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Listener } from "../../../src/hub/listener.ts";
import { heldBy } from "../../helpers/heap.ts";

/** Listens until the test is over; what it returns connects there and says `bytes`. */
async function listen(t: TestContext, listener: Listener): Promise<(bytes: string) => Socket> {
  listener.server.listen(0, "127.0.0.1");
  await once(listener.server, "listening");
  t.after(() => listener.server.close());
  const { port } = listener.server.address() as AddressInfo;
  return (bytes) => {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.write(bytes);
    return socket;
  };
}

test("a connection that does not get to the end of a head is closed, one with a slow body is not", async (t) => {
  const listener = new Listener(
    (request, reply) => void text(request).then((body) => reply.setHeader("connection", "close").end(body)),
    { tls: undefined, headMs: 200 },
  );
  const dial = await listen(t, listener);
  const slow = dial("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na");
  const signal = AbortSignal.timeout(10_000);
  for (const bytes of ["", "GET / HTTP/1.1\r\nhost: a\r\n"]) {
    await once(dial(bytes).resume(), "close", { signal });
  }
  slow.write("b");
  assert.match(await text(slow), /^HTTP\/1\.1 200 [^]*\r\n\r\nab$/);
});

const chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

test("a body in crumbs that nobody reads costs little more than its bytes, and is whole for whoever reads it late", async (t) => {
  const [waiting, crumbs] = [4, 60_000];
  const requests: IncomingMessage[] = [];
  const dial = await listen(
    t,
    new Listener(
      (request, reply) => {
        requests.push(request);
        request.once("end", () => reply.end("done"));
      },
      { tls: undefined },
    ),
  );
  const sockets = Array.from({ length: waiting }, () => dial(chunked));
  const held = await heldBy(async () => {
    while (requests.length < waiting) await setImmediate();
    for (const socket of sockets) socket.write("1\r\nx\r\n".repeat(crumbs));
    for (let turn = 0; turn < 500; turn += 1) await setImmediate();
    return requests;
  });
  assert.ok(held < 3, `${held} MiB`);
  for (const [at, socket] of sockets.entries()) {
    socket.write("0\r\n\r\n");
    const request = requests[at];
    assert.ok(request !== undefined);
    assert.equal((await text(request)).length, crumbs);
    assert.match(String((await once(socket, "data"))[0]), /^HTTP\/1\.1 200 /);
    socket.write(`${chunked}1\r\ny\r\n0\r\n\r\n`);
    while (requests.length <= waiting + at) await setImmediate();
    assert.equal(await text(requests[waiting + at] as IncomingMessage), "y");
  }
});

test("a body of pieces of any size is whole for whoever reads it at any pace", async (t) => {
  const body = randomBytes(2 * 2 ** 20).toString("base64");
  const answer = async (request: IncomingMessage, reply: ServerResponse): Promise<void> => {
    const digest = createHash("sha256");
    let pieces = 0;
    for await (const piece of request as AsyncIterable<Buffer>) {
      digest.update(piece);
      pieces += 1;
      if (pieces % 3 === 0) await setImmediate();
    }
    reply.end(digest.digest("hex"));
  };
  const listener = new Listener((request, reply) => void answer(request, reply), { tls: undefined });
  const dial = await listen(t, listener);
  const socket = dial(chunked);
  for (let at = 0, size = 1; at < body.length; at += size, size = (size * 7) % 30_011) {
    const piece = body.slice(at, at + size);
    const taken = socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
    if (!taken) await once(socket, "drain", { signal: AbortSignal.timeout(10_000) });
  }
  socket.write("0\r\n\r\n");
  const [reply] = (await once(socket, "data", { signal: AbortSignal.timeout(10_000) })) as [Buffer];
  assert.match(String(reply), new RegExp(createHash("sha256").update(body).digest("hex")));
});

test("requests of one connection are answered one after the other, and too many that wait cut it", async (t) => {
  const replies: ServerResponse[] = [];
  const dial = await listen(
    t,
    new Listener((_request, reply) => void replies.push(reply), { tls: undefined }),
  );
  const request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
  const patient = dial(request.repeat(33));
  let told = "";
  patient.on("data", (chunk: Buffer) => (told += String(chunk)));
  for (let at = 0; at < 33; at += 1) {
    while (replies.length <= at) await setImmediate();
    for (let turn = 0; turn < 5; turn += 1) await setImmediate();
    assert.equal(replies.length, at + 1);
    replies[at]?.end(`(${at})`);
  }
  while (!told.includes("(32)")) await setImmediate();
  assert.deepEqual(
    [...told.matchAll(/\((\d+)\)/g)].map(([, at]) => Number(at)),
    replies.map((_, at) => at),
  );
  const greedy = dial(request.repeat(200)).resume();
  greedy.on("error", () => undefined);
  await new Promise((resolve) => greedy.once("close", resolve));
  assert.equal(replies.length, 34);
});
