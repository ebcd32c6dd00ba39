/** Callers from outside: carried by name to a connector, or told which layer they got stuck at. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { test } from "node:test";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import { deferred, withDeadline } from "../../src/async/index.ts";
import type { EdgeOptions } from "../../src/hub/index.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { EchoTunnel, hangUpAfter, offered, overTls, readUntil, TestConnector } from "../helpers/tunnel.ts";

const docs = "docs.tunnel.example";

interface Rig extends AsyncDisposable {
  hub: TestHub;
  port: number;
  tunnel: EchoTunnel;
  connector: TestConnector;
}

async function rig(edge: Partial<EdgeOptions> = {}): Promise<Rig> {
  await using stack = new AsyncDisposableStack();
  const hub = stack.use(await TestHub.start({ edge: { host: "127.0.0.1", port: 0, ...edge } }));
  const tunnel = new EchoTunnel("a", [offered(docs)]);
  const key = { name: "c", tenant: "default", weight: 1, scopes: ["connector"] as const };
  const token = await hub.keys.addKey(key);
  const connector = stack.use(await TestConnector.start({ url: hub.url, token, offer: tunnel }));
  const port = Number(hub.hub.edge?.split(":").at(-1));
  const owned = stack.move();
  return { hub, port, tunnel, connector, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function plain({ port }: Rig): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** A caller whose ClientHello was sent, and which reads nothing yet. */
async function asking(r: Rig): Promise<Socket> {
  const socket = await plain(r);
  const hello = new Duplex({
    read: () => undefined,
    write: (bytes: Buffer, _encoding, done) => void socket.write(bytes, done),
  });
  const tls = tlsConnect({ socket: hello, servername: docs });
  tls.on("error", () => undefined);
  return socket;
}

async function call(r: Rig, host: string): Promise<TLSSocket> {
  return overTls(await plain(r), host);
}

interface Refusal {
  status: number;
  layer: string | undefined;
  body: Record<string, unknown>;
}

/** Reads one HTTP reply to its end. */
async function refusal(stream: Duplex, request = "GET /mcp HTTP/1.1\r\nHost: x\r\n\r\n"): Promise<Refusal> {
  stream.write(request);
  const reply = await withDeadline(text(stream), 10_000, "a reply");
  const [head = "", body = "{}"] = reply.split("\r\n\r\n");
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]),
    layer: /x-sallyport-layer: (.+)/.exec(head)?.[1],
    body: JSON.parse(body) as Record<string, unknown>,
  };
}

test("a caller is carried by the name its TLS asks for, to the end of both directions", async () => {
  await using r = await rig();
  const stream = await call(r, docs);
  stream.write("hello.");
  assert.equal(await readUntil(stream, "hello."), "a:hello.");
  assert.match(r.tunnel.callers[0] ?? "", /^edge 127\.0\.0\.1:\d+ \([0-9a-f-]{36}\)$/);
  stream.end("bye.");
  assert.equal(await withDeadline(text(stream), 10_000, "the rest"), "bye.");
  const metrics = (await r.hub.call("/metrics", { key: null })).text;
  assert.match(metrics, /sallyport_tunnel_bytes_total\{route="docs\.tunnel\.example",direction="in"\} \d{3}/);
});

test("the name is read however the ClientHello comes, in any case and with a trailing dot", async () => {
  await using r = await rig();
  const socket = await plain(r);
  socket.setNoDelay(true);
  const slow = new (await import("node:stream")).Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      // the first bytes one by one, each in its own segment
      let at = 0;
      const next = (): void => {
        if (at === 64) {
          socket.write(chunk.subarray(at), () => done());
          return;
        }
        socket.write(chunk.subarray(at, (at += 1)), () => void setImmediate(next));
      };
      if (chunk.length > 64) next();
      else socket.write(chunk, () => done());
    },
  });
  socket.on("data", (chunk) => slow.push(chunk));
  const stream = overTls(slow, "DOCS.tunnel.Example");
  stream.write("hi.");
  assert.equal(await readUntil(stream, "hi."), "a:hi.");
  stream.destroy();
  socket.destroy();
});

test("a host nobody offers is answered inside TLS with 404 and layer name, under a certificate that says so", async () => {
  await using r = await rig();
  const stream = await call(r, "nowhere.example");
  await once(stream, "secureConnect");
  assert.equal(stream.getPeerCertificate().subject.CN, "sallyport edge");
  const { status, layer, body } = await refusal(stream);
  assert.deepEqual([status, layer], [404, "name"]);
  const { requestId, message, fix, ...rest } = body;
  assert.deepEqual(rest, { error: "route_unknown", layer: "name", host: "nowhere.example" });
  for (const said of [requestId, message, fix]) assert.equal(typeof said, "string");
  assert.equal(r.tunnel.served.length, 0);
});

test("a caller that names no host is told so", async () => {
  await using r = await rig();
  const stream = tlsConnect({ socket: await plain(r), rejectUnauthorized: false });
  const { status, body } = await refusal(stream);
  assert.equal(status, 404);
  assert.match(String(body["message"]), /SNI/);
});

test("a host whose connectors take nobody is answered with 502 and layer edge", async () => {
  await using r = await rig();
  const held = await r.connector.call(docs);
  held.on("error", () => undefined);
  await once(held, "secureConnect");
  const drained = r.connector.connector.drain();
  const { status, layer, body } = await refusal(await call(r, docs));
  assert.deepEqual([status, layer, body["error"]], [502, "edge", "route_unavailable"]);
  r.tunnel.drained.resolve();
  await drained;
});

test("a connector that is lost ends its callers' connections at once", async () => {
  await using r = await rig();
  const stream = await call(r, docs);
  stream.write("hi.");
  await readUntil(stream, "hi.");
  const cut = once(stream, "error");
  await r.connector[Symbol.asyncDispose]();
  const [error] = (await withDeadline(cut, 5_000, "the caller's end")) as NodeJS.ErrnoException[];
  assert.equal(error?.code, "ECONNRESET", "a cut connection must not look like an ended one");
});

const edgeConnections = async ({ hub }: Rig): Promise<string | undefined> =>
  /^sallyport_edge_connections (\d+)$/m.exec((await hub.call("/metrics", { key: null })).text)?.[1];

test("a caller that is slow is given the whole reply of a connector that closed behind it", async () => {
  await using r = await rig();
  const reply = randomBytes(16 * 2 ** 20);
  const came = deferred<void>();
  r.tunnel.serve = (bytes) => {
    hangUpAfter(reply)(bytes);
    came.resolve();
  };
  const socket = await asking(r);
  await came.promise;
  assert.equal(r.connector.end.active, 1, "nobody took the reply so far");
  const read = await withDeadline(buffer(socket), 10_000, "the reply");
  assert.ok(read.equals(reply), `${read.length} bytes of ${reply.length}`);
  socket.end();
  await eventually(() => r.connector.end.active === 0);
});

test("a caller that was given its reply and does not go is let go", async () => {
  await using r = await rig({ lingerMs: 500 });
  r.tunnel.serve = hangUpAfter(Buffer.from("reply"));
  const socket = await asking(r);
  assert.equal(await withDeadline(text(socket), 10_000, "the reply"), "reply");
  assert.equal(await edgeConnections(r), "1");
  await eventually(async () => (await edgeConnections(r)) === "0");
  socket.destroy();
});

test("a caller that vanishes ends its byte stream at the connector", async () => {
  await using r = await rig();
  const stream = await call(r, docs);
  stream.write("hi.");
  await readUntil(stream, "hi.");
  const [served] = r.tunnel.served;
  assert.ok(served !== undefined);
  const gone = new Promise((resolve) => served.once("close", resolve));
  stream.destroy();
  await withDeadline(gone, 5_000, "the end at the connector");
});

test("plain HTTP is told to speak TLS", async () => {
  await using r = await rig();
  const { status, layer, body } = await refusal(await plain(r));
  assert.deepEqual([status, layer, body["error"]], [400, "edge", "request_invalid"]);
  assert.match(String(body["message"]), /TLS/);
});

test("CONNECT reaches a route by name, and is refused as TLS is", async () => {
  await using r = await rig();
  const socket = await plain(r);
  socket.write(`CONNECT ${docs}:443 HTTP/1.1\r\nHost: ${docs}:443\r\n\r\n`);
  assert.match(await readUntil(socket, "\r\n\r\n"), /^HTTP\/1\.1 200 /);
  const stream = overTls(socket, docs);
  stream.write("hi.");
  assert.equal(await readUntil(stream, "hi."), "a:hi.");
  stream.destroy();
  const unknown = await refusal(await plain(r), "CONNECT nowhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.deepEqual([unknown.status, unknown.layer], [404, "name"]);
  const port = await refusal(await plain(r), `CONNECT ${docs}:22 HTTP/1.1\r\nHost: x\r\n\r\n`);
  assert.equal(port.status, 400);
});

for (const [name, bytes] of Object.entries({
  "bytes of no protocol": Buffer.from([0, 1, 2, 3, 4, 5]),
  "a ClientHello that lies about its length": Buffer.from([22, 3, 1, 0, 5, 1, 255, 255, 255, 0]),
  "HTTP that is none": Buffer.from("GET\r\n\r\n"),
  "an absolute-form target": Buffer.from(
    `GET http://169.254.169.254/latest HTTP/1.1\r\nHost: ${docs}\r\nConnection: close\r\n\r\n`,
  ),
})) {
  test(`reach nobody and are answered: ${name}`, async () => {
    await using r = await rig();
    const socket = await plain(r);
    socket.write(bytes);
    const answer = await withDeadline(text(socket), 10_000, "an answer");
    assert.ok(answer.startsWith("HTTP/1.1 400 ") || answer.startsWith("\x15\x03"), JSON.stringify(answer));
    assert.equal(r.tunnel.served.length, 0);
    socket.destroy();
  });
}

test("a caller that never gets to the end of what it wants is let go", async () => {
  await using r = await rig({ handshakeMs: 500 });
  const tls = await call(r, "nowhere.example");
  for (const stream of [await plain(r), tls]) {
    stream.on("error", () => undefined).resume();
    stream.write(`CONNECT ${docs}:443 HTTP/1.1\r\nx: `);
    const drip = setInterval(() => void stream.write("x"), 50);
    const gone = new Promise((resolve) => stream.once("close", resolve));
    await withDeadline(gone, 5_000, "the end").finally(() => {
      clearInterval(drip);
      stream.destroy();
    });
  }
});

test("a caller that says nothing is let go, and one too many is not let in", async () => {
  await using r = await rig({ handshakeMs: 1_000, perSource: 2 });
  const [first, second] = [await plain(r), await plain(r)];
  const third = connect({ host: "127.0.0.1", port: r.port });
  const refused = new Promise((resolve) => third.once("error", resolve));
  const error = (await withDeadline(refused, 5_000, "the third is refused")) as NodeJS.ErrnoException;
  assert.equal(error.code, "ECONNRESET");
  for (const socket of [first, second]) socket.resume();
  const let_go = [first, second].map((socket) => once(socket, "end"));
  await withDeadline(Promise.all(let_go), 5_000, "the silent are let go");
  for (const socket of [first, second]) socket.destroy();
  await eventually(async () => {
    const stream = await call(r, docs);
    stream.on("error", () => undefined);
    stream.write("hi.");
    return (await readUntil(stream, "hi.").catch(() => "")) === "a:hi.";
  });
});
