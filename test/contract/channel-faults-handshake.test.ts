/** What a dialler is told when the hub refuses it, is not there or is no hub. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect as connectTcp, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { dialChannel } from "../../src/channel/index.ts";
import { isError, SallyportError, type ErrorCode } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { connectPath, subprotocol } from "../../src/protocol/index.ts";
import { coded, soon } from "../helpers/channel-checks.ts";
import { dial, dialect, nothing, startHub, type Hub } from "../helpers/channel-hub.ts";

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

test("who still waits when the hub stops is cut, and comes in no more once it is known who it was", async () => {
  const known = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<void>();
  let opened = 0;
  const hub = await startHub({
    authorize: () => {
      asked.resolve();
      return known.promise;
    },
    onChannel: () => (opened += 1),
  });
  const dialled = dial(hub.url);
  const refused = assert.rejects(dialled, coded("hub_unreachable"));
  await asked.promise;
  await hub.acceptor[Symbol.asyncDispose]();
  await soon(refused, "the waiting caller");
  known.resolve("worker");
  await new Promise(setImmediate);
  assert.deepEqual([opened, hub.acceptor.size], [0, 0]);
  await hub[Symbol.asyncDispose]();
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
