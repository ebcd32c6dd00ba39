import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import { deferred } from "../../../src/async/index.ts";
import { SallyportError, isError } from "../../../src/errors.ts";
import { bytesBody, type FaceRequest, type HttpResponse } from "../../../src/exchange/index.ts";
import { dial, faceRig, raw, textOf, until } from "./rig.ts";

const reply = (text: string, headers: HttpResponse["headers"] = []): HttpResponse => ({
  status: 200,
  headers: [["content-length", String(text.length)], ...headers],
  body: bytesBody(Buffer.from(text)),
});

const get = (target: string, ...headers: readonly string[]): string =>
  [`GET ${target} HTTP/1.1`, "Host: Docs.Test:443", ...headers, "", ""].join("\r\n");

test("a request is read with its host, its bytes of target and its end-to-end headers", async () => {
  const seen: [FaceRequest, string][] = [];
  await using rig = await faceRig({
    handle: async (request, context) => {
      seen.push([request, context]);
      return reply("ok");
    },
  });
  const extra = [
    "X-Own: 1",
    "Connection: close, X-Named",
    "X-Named: 2",
    "Proxy-Connection: x",
    "TE: trailers",
  ];
  const text = await raw(rig.port, get("/a%2Fb?c=%00", ...extra));
  const [[request, context] = assert.fail()] = seen;
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.equal(context, "context");
  assert.deepEqual(
    {
      host: request.host,
      port: request.port,
      target: request.target,
      headers: request.headers,
      body: request.body,
    },
    { host: "docs.test", port: 443, target: "/a%2Fb?c=%00", headers: [["x-own", "1"]], body: null },
  );
});

test("pipelined requests are handled one after another and answered in order", async () => {
  let running = 0;
  await using rig = await faceRig({
    handle: async ({ target }) => {
      assert.equal((running += 1), 1);
      await new Promise(setImmediate);
      running -= 1;
      return reply(target);
    },
  });
  const text = await raw(rig.port, get("/1") + get("/2") + get("/3", "Connection: close"));
  assert.deepEqual(text.match(/(?<=\r\n\r\n)\/\d/g), ["/1", "/2", "/3"]);
});

test("more pipelined requests than allowed cut the connection", async () => {
  const never = deferred<HttpResponse>();
  await using rig = await faceRig({ handle: () => never.promise }, { maxPipelined: 2 });
  assert.equal(await raw(rig.port, get("/").repeat(4)), "");
});

test("a body arrives whole however its bytes are split", async () => {
  await using rig = await faceRig({
    handle: async ({ body }) => reply(body === null ? "" : await textOf(body)),
  });
  const chunks = fc.array(
    fc.string({ minLength: 1, maxLength: 40, unit: fc.constantFrom("a", "\r", "\n", "0") }),
    {
      maxLength: 6,
    },
  );
  const property = fc.asyncProperty(chunks, fc.array(fc.nat(400), { maxLength: 6 }), async (parts, cuts) => {
    const coded = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("");
    const head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    const bytes = `${head}${coded}0\r\n\r\n`;
    const at = [0, ...[...cuts].sort((one, other) => one - other), bytes.length];
    const pieces = at.slice(1).map((end, index) => bytes.slice(at[index], end));
    const socket = await dial(rig.port);
    for (const piece of pieces) {
      socket.write(piece);
      await new Promise(setImmediate);
    }
    const text = await textOf(socket);
    assert.equal(text.slice(text.indexOf("\r\n\r\n") + 4), parts.join(""));
  });
  await fc.assert(property, { numRuns: 40 });
});

test("framing that can be read in two ways never reaches the handler", async () => {
  let handled = 0;
  await using rig = await faceRig({
    handle: async ({ body }) => {
      handled += 1;
      if (body !== null) await textOf(body);
      return reply("ok");
    },
  });
  const head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
  const bad = [
    `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
    `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${head}Content-Length: +5\r\n\r\nhello`,
    `${head}Content-Length : 5\r\n\r\nhello`,
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\nConnection: close\n\n",
    "GET /\x80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /#f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET ftp://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x00\xa5\x01\x00\x00",
  ];
  for (const bytes of bad)
    assert.match(await raw(rig.port, Buffer.from(bytes, "latin1")), /^HTTP\/1\.1 400 /, bytes);
  // the parser itself ends this one once it has told of its head
  assert.equal(await raw(rig.port, `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`), "");
  assert.equal(handled, 0);
  assert.match(await raw(rig.port, `${head}Content-Length: 5\r\n\r\nhello`), /^HTTP\/1\.1 200 /);
  assert.equal(handled, 1);
});

test("hosts in unusual spellings are refused, not mended", async () => {
  await using rig = await faceRig({ handle: async ({ host }) => reply(host) });
  const bad = [
    "docs.",
    "a..b",
    "u@docs",
    "docs:",
    "docs:0",
    "docs:65536",
    "docs%2eevil",
    "docs evil",
    "döcs",
  ];
  bad.push("[fe80::1%25eth0]", "[::1", "::1", "-docs", "docs/..", "a\tb", "", `${"a".repeat(64)}.b`);
  for (const host of bad) {
    const text = await raw(rig.port, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 400 /, host);
  }
  const nul = await raw(rig.port, "GET / HTTP/1.1\r\nHost: evil\0.docs\r\nConnection: close\r\n\r\n");
  assert.match(nul, /^HTTP\/1\.1 400 /);
  assert.match(await raw(rig.port, "GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n"), /::1$/);
});

test("an absolute-form target shows its own host beside that of the header", async () => {
  await using rig = await faceRig({
    handle: async ({ absolute, host, target }) => reply(JSON.stringify({ absolute, host, target })),
  });
  const text = await raw(rig.port, get("http://Other.test:81?q", "Connection: close"));
  assert.deepEqual(JSON.parse(text.slice(text.indexOf("{"))), {
    absolute: { scheme: "http", host: "other.test", port: 81 },
    host: "docs.test",
    target: "/?q",
  });
});

test("every chunk of a stream of events is on its way before the next one is there", async () => {
  const body = new PassThrough();
  await using rig = await faceRig({
    handle: async () => ({ status: 200, headers: [["content-type", "text/event-stream"]], body }),
  });
  const socket = await dial(rig.port);
  socket.write(get("/"));
  await until(socket, /text\/event-stream[^]*\r\n\r\n/);
  for (const text of ["data: one\n\n", "data: two\n\n"]) {
    body.write(text);
    await until(socket, new RegExp(text.trim()));
  }
  socket.destroy();
  await once(body, "close");
});

test("a caller that goes away fires the signal with a typed reason", async () => {
  const gone = deferred<unknown>();
  const begun = deferred<void>();
  await using rig = await faceRig({
    handle: (_request, _context, signal) => {
      signal.addEventListener("abort", () => gone.resolve(signal.reason));
      begun.resolve();
      return new Promise(() => undefined);
    },
  });
  const socket = await dial(rig.port);
  socket.write(get("/"));
  await begun.promise;
  socket.resetAndDestroy();
  assert.ok(isError(await gone.promise, "cancelled"));
});

test("a caller that has nothing more to send still gets its reply, and one that listened to events is gone", async () => {
  const answer = deferred<HttpResponse>();
  await using rig = await faceRig({ handle: () => answer.promise });
  const socket = await dial(rig.port);
  socket.end(get("/"));
  await new Promise(setImmediate);
  answer.resolve(reply("late"));
  assert.match(await textOf(socket), /late$/);

  const events = new PassThrough();
  await using other = await faceRig({
    handle: async () => ({ status: 200, headers: [["content-type", "text/event-stream"]], body: events }),
  });
  const socketOfEvents = await dial(other.port);
  socketOfEvents.write(get("/"));
  await until(socketOfEvents, /text\/event-stream/);
  socketOfEvents.end();
  await once(events, "close");
});

test("a slow reader holds the body back", async () => {
  let produced = 0;
  const body = new PassThrough({ highWaterMark: 64 * 1024 });
  await using rig = await faceRig({ handle: async () => ({ status: 200, headers: [], body }) });
  const socket = await dial(rig.port);
  socket.pause();
  socket.write(get("/"));
  const chunk = Buffer.alloc(64 * 1024);
  while (produced < 64 * 2 ** 20) {
    produced += chunk.length;
    if (body.write(chunk)) continue;
    const drained = await Promise.race([
      once(body, "drain").then(() => true),
      new Promise<false>((resolve) => setTimeout(() => resolve(false), 100)),
    ]);
    if (!drained) break;
  }
  assert.ok(produced < 32 * 2 ** 20, `${produced} bytes were taken`);
  socket.destroy();
  await once(body, "close");
});

test("the body is asked for only when it is read", async () => {
  await using rig = await faceRig({
    handle: async ({ body, target }) => {
      if (target === "/no") throw new SallyportError("tool_not_allowed", "no");
      return reply(body === null ? "" : await textOf(body));
    },
  });
  const head = (target: string): string =>
    `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`;
  const refused = await raw(rig.port, head("/no"));
  assert.match(refused, /^HTTP\/1\.1 403 [^]*connection: close/i);
  const socket = await dial(rig.port);
  socket.write(head("/yes"));
  assert.match(await until(socket, /\r\n\r\n/), /^HTTP\/1\.1 100 Continue/);
  socket.end("hello");
  assert.match(await textOf(socket), /hello$/);
});

test("a failure names its code, layer, host and request, and an unknown one tells nothing of itself", async () => {
  const errors: Record<string, Error> = {
    "/ip": new SallyportError("upstream_address_denied", "no", { details: { fix: "list it" } }),
    "/host": new SallyportError("host_not_allowed", "no"),
    "/bug": new Error("secret"),
  };
  await using rig = await faceRig({
    handle: async ({ target }) => {
      throw errors[target] ?? new Error("unexpected");
    },
  });
  const at = async (target: string): Promise<string> => raw(rig.port, get(target, "Connection: close"));
  const ip = await at("/ip");
  assert.match(ip, /^HTTP\/1\.1 502 [^]*x-sallyport-layer: ip\r\n/);
  const { requestId, ...rest } = JSON.parse(ip.slice(ip.indexOf("{"))) as Record<string, unknown>;
  assert.equal(typeof requestId, "string");
  const expected = { error: "upstream_address_denied", layer: "ip", host: "docs.test", message: "no" };
  assert.deepEqual(rest, { ...expected, fix: "list it" });
  assert.match(
    await at("/host"),
    /^HTTP\/1\.1 403 [^]*\r\n\r\n{"error":"host_not_allowed","host":"docs.test"}$/,
  );
  const bug = await at("/bug");
  assert.match(bug, /^HTTP\/1\.1 500 /);
  assert.doesNotMatch(bug, /secret/);
});

test("CONNECT hands the bytes over after its 200, or is answered with the failure", async () => {
  await using rig = await faceRig({
    handle: async () => reply("ok"),
    connect: async ({ absolute }) => {
      if (absolute?.host !== "docs.test") throw new SallyportError("host_not_allowed", "no");
      return (bytes) => void bytes.pipe(bytes);
    },
  });
  const socket = await dial(rig.port);
  socket.write("CONNECT docs.test:443 HTTP/1.1\r\nHost: docs.test:443\r\n\r\nearly");
  await until(socket, /200 Connection Established\r\n\r\nearly/);
  socket.end("late");
  assert.equal(await textOf(socket), "late");
  const refused = await raw(rig.port, "CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n");
  assert.match(refused, /^HTTP\/1\.1 403 [^]*{"error":"host_not_allowed","host":"evil"}$/);
  const bad = await raw(rig.port, "CONNECT docs.test HTTP/1.1\r\nHost: docs.test\r\n\r\n");
  assert.match(bad, /^HTTP\/1\.1 400 /);
});

test("an upgrade is shown to the handler, and h2c overlooked", async () => {
  await using rig = await faceRig({ handle: async ({ upgrade }) => reply(String(upgrade)) });
  const asked = (name: string): string => get("/", `Upgrade: ${name}`, "Connection: upgrade, close");
  assert.match(await raw(rig.port, asked("websocket")), /websocket$/);
  assert.match(await raw(rig.port, asked("h2c")), /null$/);
});

test("a head that is too large or does not come in time ends the connection", async () => {
  await using rig = await faceRig({ handle: async () => reply("ok") }, { headMs: 50 });
  assert.match(await raw(rig.port, get("/", `X: ${"x".repeat(40_000)}`)), /^HTTP\/1\.1 431 /);
  assert.equal(await raw(rig.port, "GET / HTTP/1.1\r\nHost"), "");
  assert.match(await raw(rig.port, get("/")), /^HTTP\/1\.1 200 [^]*ok$/);
});

test("draining ends idle connections at once and busy ones with their reply", async () => {
  const answer = deferred<HttpResponse>();
  const begun = deferred<void>();
  await using rig = await faceRig({
    handle: () => {
      begun.resolve();
      return answer.promise;
    },
  });
  const busy = await dial(rig.port);
  busy.write(get("/"));
  await begun.promise;
  const idle = textOf(await dial(rig.port)).catch(() => "");
  const drained = rig.face.drain();
  assert.equal(await idle, "");
  answer.resolve(reply("last"));
  assert.match(await textOf(busy), /connection: close[^]*last$/i);
  await drained;
  assert.equal(rig.face.connections, 0);
});
