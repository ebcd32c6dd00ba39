/** What flows through the gateway, and what is left when a sandbox, a program or an upstream breaks it off. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable, type Duplex } from "node:stream";
import { test } from "node:test";
import { deferred } from "../../../src/async/index.ts";
import { docs, until } from "../../helpers/gateway-client.ts";
import { reply, startGateway } from "../../helpers/gateway-rig.ts";
import { eventually } from "../../helpers/hub.ts";

/** Resolves when it is closed, whatever closed it. */
async function closed(stream: Readable): Promise<void> {
  if (!stream.destroyed) await new Promise<void>((resolve) => stream.once("close", resolve));
}

test("disposing an attachment cuts its connections, gives up its requests, and leaves others alone", async () => {
  await using rig = startGateway();
  const entered = deferred<AbortSignal>();
  rig.local.answer = (request, signal) => {
    if (request.target !== "/slow") return reply(200, "quick");
    entered.resolve(signal);
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  const [one, other] = [
    await rig.attach([{ host: "docs" }], "one"),
    await rig.attach([{ host: "docs" }], "other"),
  ];
  const idle = one.guest.dial(80);
  const slow = await one.tls(docs);
  slow.write(`GET /slow HTTP/1.1\r\nHost: ${docs}\r\n\r\n`);
  const signal = await entered.promise;
  const closed = Promise.all([once(idle, "close"), once(slow, "close")]);
  await one.attachment[Symbol.asyncDispose]();
  await closed;
  assert.ok(signal.aborted);
  assert.ok(one.guest.hostEnds.every(({ destroyed }) => destroyed));
  const late = one.guest.dial(80);
  late.on("data", () => assert.fail("nobody answers"));
  if (!late.destroyed) await once(late, "close");
  assert.equal((await other.ask(`https://${docs}/`)).text, "quick");
  assert.equal(
    rig.audit.filter(({ sandbox }) => sandbox === "one").length,
    1,
    "what was cut is in the audit",
  );
});

test("a program that goes away gives its request up, before the reply and within it", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  const entered = deferred<AbortSignal>();
  const body = new PassThrough();
  rig.local.answer = (request, signal) => {
    if (request.target === "/events") return reply(200, body, { "content-type": "text/event-stream" });
    entered.resolve(signal);
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  const early = await sandbox.tls(docs);
  early.write(`GET /slow HTTP/1.1\r\nHost: ${docs}\r\n\r\n`);
  const signal = await entered.promise;
  early.destroy();
  if (!signal.aborted) await once(signal, "abort");
  const late = await sandbox.tls(docs);
  late.write(`GET /events HTTP/1.1\r\nHost: ${docs}\r\n\r\n`);
  body.write("data: 1\n\n");
  await until(late, "data: 1");
  late.destroy();
  await closed(body);
});

test("events come one by one as they are sent", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs", tools: ["a"] }]);
  const body = new PassThrough();
  rig.local.answer = () => reply(200, body, { "content-type": "text/event-stream" });
  const socket = await sandbox.tls(docs);
  socket.write(`GET /mcp HTTP/1.1\r\nHost: ${docs}\r\nAccept: text/event-stream\r\n\r\n`);
  for (let turn = 0; turn < 5; turn += 1) {
    body.write(`data: {"jsonrpc":"2.0","method":"note","params":{"turn":${turn}}}\n\n`);
    await until(socket, `"turn":${turn}`);
  }
});

test("a reader that stops stops the upstream: what is on the way stays bounded", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  let sent = 0;
  const endless = new Readable({
    read() {
      sent += 64 * 1_024;
      this.push(Buffer.alloc(64 * 1_024));
    },
  });
  rig.local.answer = () => reply(200, endless);
  const socket = await sandbox.tls(docs);
  socket.write(`GET /big HTTP/1.1\r\nHost: ${docs}\r\n\r\n`);
  await once(socket, "readable");
  let before = -1;
  await eventually(async () => {
    const still = sent === before;
    before = sent;
    return still;
  });
  assert.ok(sent < 8 * 2 ** 20, `${sent} bytes on the way`);
  socket.destroy();
  await closed(endless);
});

test("an upstream that fails, resets or answers garbage is a reply with the layer that failed, never the end of the worker", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  rig.local.answer = () => Promise.reject(new Error("not ours to tell"));
  const failed = await sandbox.ask(`https://${docs}/`);
  assert.equal(failed.status, 500);
  assert.doesNotMatch(failed.text, /not ours/);
  for (const soon of [setImmediate, (reset: () => void) => setTimeout(reset, 5)]) {
    rig.local.answer = () => {
      const body = new PassThrough();
      body.write("half");
      soon(() => body.destroy(new Error("reset")));
      return reply(200, body);
    };
    await assert.rejects(sandbox.ask(`https://${docs}/`), soon.name);
  }
  rig.local.answer = () => reply(200, "ok", { "bad header": "x", good: "a\nb" });
  await sandbox.ask(`https://${docs}/`).catch(() => undefined);
  rig.local.answer = () => reply(200, "fine");
  assert.equal((await sandbox.ask(`https://${docs}/`)).text, "fine");
  await eventually(async () => rig.audit.some(({ outcome }) => outcome === "broken_off"));
});

test("a sandbox is gone once what was cut is told, and nothing of it is told later", async () => {
  for (const answers of [true, false]) {
    await using rig = startGateway();
    const sandbox = await rig.attach([{ host: "docs" }]);
    const reached = Promise.withResolvers<void>();
    const late = Promise.withResolvers<void>();
    rig.local.answer = async (_request, signal) => {
      reached.resolve();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      if (answers) await new Promise(setImmediate);
      else await late.promise;
      throw signal.reason;
    };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "any" } });
    const headers = { "content-type": "application/json" };
    const asked = assert.rejects(sandbox.ask(`http://${docs}/mcp`, { method: "POST", headers, body }));
    await reached.promise;
    await sandbox.attachment[Symbol.asyncDispose]();
    await asked;
    const told = (): unknown[] => sandbox.told.map(({ outcome }) => outcome);
    assert.deepEqual(told(), answers ? ["unknown"] : []);
    assert.equal(rig.audit.filter(({ kind }) => kind === "decision").length, answers ? 1 : 0);
    late.resolve();
    await new Promise(setImmediate);
    assert.deepEqual(told(), answers ? ["unknown"] : []);
  }
});

test("programs that half-close, reset and leave in mid-stream, many times over, leave nothing behind", async () => {
  await using rig = startGateway({ connectionsPerSecond: 1e6 });
  const sandbox = await rig.attach([{ host: "docs" }]);
  let open = 0;
  rig.local.answer = () => {
    const body = new PassThrough();
    open += 1;
    body.once("close", () => (open -= 1));
    body.write("some");
    return reply(200, body);
  };
  const head = `POST / HTTP/1.1\r\nHost: ${docs}\r\nContent-Length:`;
  const manners: ((socket: Duplex) => Promise<unknown>)[] = [
    async (socket) => socket.end(`GET / HTTP/1.1\r\nHost: ${docs}\r\n\r\n`),
    async (socket) => socket.write(`${head} 100\r\n\r\nhalf`),
    async (socket) => {
      socket.write(`${head} 1\r\n\r\nx`);
      await until(socket, "some");
    },
  ];
  for (let turn = 0; turn < 20; turn += 1) {
    const ways = [80, 443].flatMap((port) => manners.map((manner) => ({ port, manner })));
    const over = ways.map(async ({ port, manner }) => {
      const socket = port === 80 ? sandbox.guest.dial(port) : await sandbox.tls(docs);
      await manner(socket);
      await new Promise((resolve) => setImmediate(resolve));
      socket.destroy();
    });
    await Promise.all(over);
  }
  await eventually(async () => open === 0 && sandbox.guest.hostEnds.every(({ destroyed }) => destroyed));
  rig.local.answer = () => reply(200, "still here");
  assert.equal((await sandbox.ask(`https://${docs}/`)).text, "still here");
  await sandbox.attachment[Symbol.asyncDispose]();
  const lines = rig.audit.filter(({ decision }) => decision === "allow");
  assert.equal(lines.length, new Set(lines.map(({ requestId }) => requestId)).size, "each is told once");
});
