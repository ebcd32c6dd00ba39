/** What a channel does when the network or the far end misbehaves. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { connect as connectTcp, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { deferred, withDeadline, type Deferred } from "../../src/async/index.ts";
import {
  ChannelAcceptor,
  dialChannel,
  memoryChannelPair,
  type Channel,
  type Dialect,
  type IncomingStream,
} from "../../src/channel/index.ts";
import { isError, SallyportError, type ErrorCode } from "../../src/errors.ts";
import { createLog, silentLog, type Log } from "../../src/log.ts";
import { connectPath, encodeFrame, limits, subprotocol } from "../../src/protocol/index.ts";

type Json = Record<string, unknown>;
type AnyChannel = Channel<Json, Json, Json, Json>;
const dialect: Dialect<Json, Json> = { message: (json) => json as Json, stream: (json) => json as Json };
const quick = { pingMs: 20, silenceMs: 80 };
const soon = <T>(promise: Promise<T>, what: string): Promise<T> => withDeadline(promise, 10_000, what);
const nothing = (): void => undefined;
const deaf = { message: nothing, stream: nothing };
const coded =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isError(error, code);

interface HubOptions {
  authorize?: (request: IncomingMessage) => Promise<string>;
  onChannel?: (channel: AnyChannel) => void;
  maxHandshakes?: number;
  handshakeMs?: number;
  keepalive?: { pingMs: number; silenceMs: number };
  log?: Log;
}

interface Hub extends AsyncDisposable {
  url: string;
  port: number;
  server: Server;
  acceptor: ChannelAcceptor<string, Json, Json, Json, Json>;
  accepted: Deferred<AnyChannel>;
}

async function startHub(options: HubOptions = {}): Promise<Hub> {
  const server = createServer();
  const accepted = deferred<AnyChannel>();
  const acceptor = new ChannelAcceptor<string, Json, Json, Json, Json>(
    {
      server,
      dialect,
      log: options.log ?? silentLog(),
      authorize: options.authorize ?? (() => Promise.resolve("worker")),
      onChannel: (channel) => {
        options.onChannel?.(channel);
        accepted.resolve(channel);
      },
    },
    options,
  );
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    acceptor,
    accepted,
    async [Symbol.asyncDispose]() {
      await acceptor[Symbol.asyncDispose]();
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

const dial = (
  url: string,
  more: { token?: string; log?: Log; signal?: AbortSignal } = {},
): Promise<AnyChannel> =>
  dialChannel({ url, token: "secret", dialect, log: silentLog(), timeoutMs: 5_000, ...more });

/** A WebSocket of the dialler's side that says what it wants, and how the hub closed it. */
async function rawDialler(
  hub: Hub,
): Promise<{ ws: WebSocket; closed: Promise<{ code: number; reason: string }> }> {
  const ws = new WebSocket(`ws://127.0.0.1:${hub.port}${connectPath}`, subprotocol, {
    perMessageDeflate: true,
  });
  ws.on("error", nothing);
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.once("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await new Promise<void>((resolve, reject) => {
    ws.once("open", resolve);
    ws.once("error", reject);
  });
  return { ws, closed };
}

test("half open: silence ends both sides, what waited is told, and no timer is left", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect, { keepalive: quick });
  a.listen(deaf);
  b.listen(deaf);
  const stream = a.open({});
  const refused = assert.rejects(
    stream.write(Buffer.alloc(2 * limits.streamWindow)),
    coded("channel_closed"),
  );
  link.stall();
  assert.equal((await soon(a.closed, "a")).code, "channel_closed");
  assert.equal((await soon(b.closed, "b")).code, "channel_closed");
  await refused;
  assert.deepEqual(
    process.getActiveResourcesInfo().filter((name) => name === "Timeout" || name === "Immediate"),
    [],
  );
});

test("an idle channel stays up: answers to pings count as a sign of life", async () => {
  const { a, b } = memoryChannelPair(dialect, dialect, { keepalive: quick });
  a.listen(deaf);
  b.listen(deaf);
  const first = await Promise.race([
    a.closed,
    b.closed,
    new Promise((resolve) => setTimeout(resolve, 400, "up")),
  ]);
  assert.equal(first, "up");
  await a[Symbol.asyncDispose]();
});

test("a slow link is not taken for a dead one", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect, { keepalive: quick });
  link.delay(30);
  a.listen(deaf);
  b.listen(deaf);
  const first = await Promise.race([
    a.closed,
    b.closed,
    new Promise((resolve) => setTimeout(resolve, 400, "up")),
  ]);
  assert.equal(first, "up");
  link.delay(0);
  await a[Symbol.asyncDispose]();
});

test("a cut link ends both sides with channel_closed", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect);
  link.cut();
  assert.equal((await soon(a.closed, "a")).code, "channel_closed");
  assert.equal((await soon(b.closed, "b")).code, "channel_closed");
});

test("close does not wait for a far end that is gone", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect);
  link.stall();
  await soon(a.close(new SallyportError("shutting_down", "over")), "close");
  assert.equal((await a.closed).code, "shutting_down");
  b.abort(new SallyportError("cancelled", "test over"));
});

test("half open over TCP: a hub that falls silent is noticed by the dialler", async () => {
  const server = createServer();
  const wss = new WebSocketServer({ server, autoPong: false });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const channel = await dialChannel<Json, Json, Json, Json>({
    url: `ws://127.0.0.1:${port}`,
    token: "secret",
    dialect,
    log: silentLog(),
    keepalive: quick,
  });
  assert.equal((await soon(channel.closed, "the channel")).code, "channel_closed");
  wss.clients.forEach((client) => client.terminate());
  await new Promise((resolve) => void server.close(resolve));
});

const refusals: [ErrorCode, number][] = [
  ["unauthenticated", 401],
  ["scope_missing", 403],
  ["origin_denied", 403],
  ["hub_draining", 503],
];
for (const [code, status] of refusals) {
  test(`a refusal with ${code} is HTTP ${status} and reaches the dialler as that error`, async () => {
    await using hub = await startHub({
      authorize: () => Promise.reject(new SallyportError(code, "not you", { details: { fix: "ask" } })),
    });
    await assert.rejects(dial(hub.url), (error) => {
      assert.ok(isError(error, code));
      assert.equal(error.message, "not you");
      assert.deepEqual(error.details, { fix: "ask" });
      return true;
    });
    assert.match(await rawUpgrade(hub, connectPath, subprotocol), new RegExp(`^HTTP/1.1 ${status} `));
  });
}

/** What the hub replies to an upgrade, as text. */
async function rawUpgrade(hub: Hub, path: string, protocol: string): Promise<string> {
  const socket = connectTcp(hub.port, "127.0.0.1");
  const head = [
    `GET ${path} HTTP/1.1`,
    "host: hub",
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    `sec-websocket-protocol: ${protocol}`,
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  let reply = "";
  socket.setEncoding("utf8");
  for await (const text of socket) {
    reply += text as string;
    if (reply.startsWith("HTTP/1.1 101")) break;
  }
  socket.destroy();
  return reply;
}

test("another subprotocol is refused with protocol_unsupported, another path with path_unknown", async () => {
  await using hub = await startHub();
  const wrongProtocol = await rawUpgrade(hub, connectPath, "sallyport.v9");
  assert.match(wrongProtocol, /^HTTP\/1.1 426 /);
  assert.match(wrongProtocol, /"code":"protocol_unsupported"/);
  const wrongPath = await rawUpgrade(hub, "/v1/elsewhere", subprotocol);
  assert.match(wrongPath, /^HTTP\/1.1 404 /);
  assert.match(wrongPath, /"code":"path_unknown"/);
});

test("callers waiting to be let in are counted and timed", async () => {
  await using hub = await startHub({
    authorize: () => new Promise(nothing),
    maxHandshakes: 2,
    handshakeMs: 300,
  });
  const waiting = [dial(hub.url), dial(hub.url)].map((refused) =>
    assert.rejects(refused, coded("deadline_exceeded")),
  );
  for (;;) {
    const reply = await rawUpgrade(hub, connectPath, subprotocol);
    if (reply.startsWith("HTTP/1.1 429")) break;
  }
  await Promise.all(waiting);
});

test("an error of authorize that is not ours is an internal one, without its text", async () => {
  await using hub = await startHub({
    authorize: () => Promise.reject(new TypeError("select secret from keys")),
  });
  await assert.rejects(dial(hub.url), (error) => {
    assert.ok(isError(error, "internal"));
    assert.doesNotMatch(error.message, /secret from/);
    return true;
  });
});

test("no hub at the address: hub_unreachable with the address and what to do", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => void server.close(resolve));
  await assert.rejects(dial(`http://127.0.0.1:${port}`), (error) => {
    assert.ok(isError(error, "hub_unreachable"));
    assert.match(error.message, new RegExp(`127.0.0.1:${port}.*ECONNREFUSED`));
    assert.equal(typeof error.details["fix"], "string");
    return true;
  });
  await assert.rejects(dial("http://hub.invalid"), coded("hub_unreachable"));
});

test("something that is no hub: hub_unreachable; a hub of another make: protocol_unsupported", async () => {
  const web = createServer((_request, response) => void response.writeHead(200).end("hello"));
  await new Promise<void>((resolve) => void web.listen(0, "127.0.0.1", resolve));
  await assert.rejects(
    dial(`http://127.0.0.1:${(web.address() as AddressInfo).port}`),
    coded("hub_unreachable"),
  );
  const wss = new WebSocketServer({ server: web, handleProtocols: () => false });
  await assert.rejects(
    dial(`http://127.0.0.1:${(web.address() as AddressInfo).port}`),
    coded("protocol_unsupported"),
  );
  wss.clients.forEach((client) => client.terminate());
  web.closeAllConnections();
  await new Promise((resolve) => void web.close(resolve));
});

test("a hub that never answers: the dial's own time ends it, and so does the caller's signal; no socket stays", async () => {
  const ends: Promise<unknown>[] = [];
  const server = createServer().on("upgrade", (_request, socket: Socket) => {
    ends.push(new Promise((resolve) => void socket.once("close", resolve)));
    socket
      .on("error", nothing)
      .on("end", () => socket.end())
      .resume();
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const hasty = dialChannel({ url, token: "t", dialect, log: silentLog(), timeoutMs: 50 });
  await assert.rejects(hasty, coded("hub_unreachable"));
  const signal = AbortSignal.abort(new SallyportError("shutting_down", "enough"));
  await assert.rejects(dial(url, { signal }), coded("shutting_down"));
  const controller = new AbortController();
  const waiting = dial(url, { signal: controller.signal });
  controller.abort(new SallyportError("shutting_down", "enough"));
  await assert.rejects(waiting, coded("shutting_down"));
  await soon(Promise.all(ends), "the end of every socket");
  await soon(new Promise((resolve) => void server.close(resolve)), "the server's end");
});

test("a useless address or token is refused before anything is sent, without showing the token", async () => {
  for (const url of ["", "hub", "ftp://hub", "https://user:pass@hub"]) {
    await assert.rejects(dial(url), coded("config_invalid"));
  }
  await assert.rejects(dial("http://127.0.0.1:1", { token: "se\r\ncret: x" }), (error) => {
    assert.ok(isError(error, "config_invalid"));
    assert.doesNotMatch(JSON.stringify(error.toWire()), /cret/);
    return true;
  });
});

test("a message sent in the very turn the channel opens is not lost", async () => {
  await using hub = await startHub({ onChannel: (channel) => channel.send({ type: "first" }) });
  for (let round = 0; round < 20; round += 1) {
    const channel = await dial(hub.url);
    const got = deferred<Json>();
    channel.listen({ message: (message) => got.resolve(message), stream: nothing });
    assert.deepEqual(await soon(got.promise, "the first message"), { type: "first" });
    await channel[Symbol.asyncDispose]();
  }
});

test("an owner that throws closes the channel with internal", async () => {
  await using hub = await startHub({
    onChannel: () => {
      throw new TypeError("boom");
    },
  });
  const channel = await dial(hub.url);
  assert.equal((await soon(channel.closed, "the channel")).code, "internal");
});

test("disposing the acceptor closes every channel with shutting_down and takes no further caller", async () => {
  const hub = await startHub();
  const channels = await Promise.all([dial(hub.url), dial(hub.url)]);
  assert.equal(hub.acceptor.size, 2);
  await hub[Symbol.asyncDispose]();
  for (const channel of channels) assert.equal((await soon(channel.closed, "it")).code, "shutting_down");
  assert.equal(hub.acceptor.size, 0);
  assert.equal(hub.server.listenerCount("upgrade"), 0);
});

test("after close no timer or socket of a channel is left", async () => {
  const hub = await startHub();
  const channel = await dial(hub.url);
  const far = await hub.accepted.promise;
  channel.listen(deaf);
  far.listen(deaf);
  await channel.close(new SallyportError("shutting_down", "done"));
  await soon(far.closed, "the far end");
  await hub[Symbol.asyncDispose]();
  await new Promise((resolve) => void setImmediate(resolve));
  const left = process.getActiveResourcesInfo().filter((name) => /Timeout|TCPSocket|Immediate/.test(name));
  assert.deepEqual(left, []);
});

test("no log line holds the token", async () => {
  let lines = "";
  const log = createLog({ level: "trace", destination: { write: (line) => (lines += line) } });
  await using hub = await startHub({
    log,
    authorize: (request) => {
      if (request.headers.authorization === "Bearer hunter2hunter2") return Promise.resolve("worker");
      throw new SallyportError("unauthenticated", "unknown token");
    },
  });
  await assert.rejects(dial(hub.url, { token: "wrong-hunter2", log }), coded("unauthenticated"));
  const channel = await dial(hub.url, { token: "hunter2hunter2", log });
  await channel.close(new SallyportError("shutting_down", "done"));
  assert.match(lines, /channel refused/);
  assert.doesNotMatch(lines, /hunter2/);
});

const open = (stream: number): string => JSON.stringify({ type: "stream.open", stream, meta: {} });
const data = (stream: number, size: number): Uint8Array =>
  encodeFrame({ type: "data", stream, payload: Buffer.alloc(size) });
const window = (stream: number): Uint8Array[] =>
  Array.from({ length: limits.streamWindow / limits.frameBytes }, () => data(stream, limits.frameBytes));

/** What a hostile dialler sends → the close code it gets. */
const attacks: Record<string, { send: (string | Uint8Array)[]; code: number }> = {
  "text that is no JSON": { send: ["{"], code: 4400 },
  "an empty message": { send: [""], code: 4400 },
  "a frame too short": { send: [Buffer.alloc(3)], code: 4400 },
  "an unknown frame type": { send: [Buffer.from([9, 0, 0, 0, 1])], code: 4400 },
  "a frame too large": {
    send: [open(1), Buffer.concat([data(1, limits.frameBytes), Buffer.alloc(1)])],
    code: 1009,
  },
  "a message too large": { send: ["x".repeat(limits.messageBytes + 1)], code: 1009 },
  "a million brackets": { send: ["[".repeat(1_000_000)], code: 4400 },
  "data for a stream nobody opened": { send: [data(1, 1)], code: 4400 },
  "data for a stream of the hub's": { send: [data(2, 1)], code: 4400 },
  "data on a stream that ended": {
    send: [open(1), encodeFrame({ type: "end", stream: 1 }), data(1, 1)],
    code: 4400,
  },
  "two ends": {
    send: [open(1), ...[1, 1].map((stream) => encodeFrame({ type: "end", stream }))],
    code: 4400,
  },
  "more than the window": { send: [open(1), ...window(1), data(1, 1)], code: 4400 },
  "an id used twice": { send: [open(1), open(1)], code: 4400 },
  "an id that goes back": { send: [open(5), open(3)], code: 4400 },
  "an even id": { send: [open(2)], code: 4400 },
  "credit for its own stream": {
    send: [open(1), encodeFrame({ type: "credit", stream: 1, bytes: 1 })],
    code: 4400,
  },
  "credit above what was sent": { send: [encodeFrame({ type: "credit", stream: 2, bytes: 1 })], code: 4400 },
  "done before the end": { send: [encodeFrame({ type: "done", stream: 2 })], code: 4400 },
  "a reset of a stream nobody opened": {
    send: [encodeFrame({ type: "reset", stream: 7, error: new SallyportError("cancelled", "x") })],
    code: 4400,
  },
  "a reset that is no error": { send: [open(1), Buffer.from([4, 0, 0, 0, 1, 0x7b])], code: 4400 },
  "too many streams": {
    send: Array.from({ length: limits.streams + 1 }, (_, n) => open(2 * n + 1)),
    code: 4400,
  },
};

for (const [what, attack] of Object.entries(attacks)) {
  test(`${what}: closed with ${attack.code}, typed on the hub's side`, async () => {
    await using hub = await startHub({
      onChannel: (channel) => {
        channel.listen(deaf);
        channel.open({});
      },
    });
    const { ws, closed } = await rawDialler(hub);
    for (const message of attack.send) ws.send(message);
    const channel = await hub.accepted.promise;
    const code = attack.code === 1009 ? "frame_too_large" : "protocol_violation";
    assert.equal((await soon(channel.closed, "the hub's end")).code, code);
    const close = await soon(closed, "the attacker's end");
    assert.equal(close.code, attack.code);
    assert.ok(Buffer.byteLength(close.reason) <= 123);
  });
}

test("compression is never agreed on", async () => {
  await using hub = await startHub();
  const { ws } = await rawDialler(hub);
  assert.equal(ws.extensions, "");
  ws.terminate();
});

test("a message in thousands of fragments, empty ones included, is refused and costs nothing", async () => {
  await using hub = await startHub({ onChannel: (channel) => channel.listen(deaf) });
  const { ws, closed } = await rawDialler(hub);
  for (let n = 0; n < 5_000; n += 1) ws.send(n % 2 === 0 ? "" : "x", { fin: false });
  const channel = await hub.accepted.promise;
  assert.equal((await soon(channel.closed, "the hub's end")).code, "protocol_violation");
  assert.equal((await soon(closed, "the attacker's end")).code, 1008);
});

test("a flood of pings from someone who reads nothing does not fill memory", async () => {
  await using hub = await startHub({
    onChannel: (channel) => channel.listen(deaf),
    keepalive: { pingMs: 100, silenceMs: 400 },
  });
  const { ws } = await rawDialler(hub);
  const channel = await hub.accepted.promise;
  ws.pause();
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 200_000 && hub.acceptor.size > 0; n += 1) {
    ws.ping(Buffer.alloc(100));
    if (n % 1_000 === 0) await new Promise((resolve) => void setImmediate(resolve));
  }
  ws.terminate();
  await soon(channel.closed, "the hub's end");
  assert.ok(process.memoryUsage().rss - before < 200 * 2 ** 20);
});

test("a far end that makes the hub answer but reads nothing is cut off", async () => {
  const { a, b, link } = memoryChannelPair(dialect, dialect, {
    keepalive: { pingMs: 60_000, silenceMs: 600_000 },
  });
  a.listen(deaf);
  link.stall();
  const pad = "x".repeat(2 ** 20);
  for (let n = 0; n < 64; n += 1) a.send({ type: "answer", pad });
  assert.equal((await soon(a.closed, "a")).code, "channel_closed");
  b.abort(new SallyportError("cancelled", "test over"));
});

test("many tiny data frames cost little more than their bytes", async () => {
  const { a, b } = memoryChannelPair(dialect, dialect);
  const incoming = deferred<IncomingStream<Json>>();
  b.listen({ message: nothing, stream: (stream) => incoming.resolve(stream) });
  a.listen(deaf);
  const stream = a.open({});
  for (let n = 0; n < 20_000; n += 1) {
    await stream.write(Buffer.from([n & 0xff]));
    if (n % 50 === 0) await new Promise((resolve) => void setImmediate(resolve));
  }
  stream.end();
  const far = await incoming.promise;
  let chunks = 0;
  let bytes = 0;
  for await (const chunk of far.chunks) {
    for (const byte of chunk) assert.equal(byte, bytes++ & 0xff);
    chunks += 1;
  }
  assert.equal(bytes, 20_000);
  assert.ok(chunks < 100, `${chunks} chunks`);
  await a[Symbol.asyncDispose]();
});
