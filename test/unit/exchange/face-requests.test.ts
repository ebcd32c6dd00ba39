import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import { SallyportError } from "../../../src/errors.ts";
import { createHttpFace, type FaceRequest } from "../../../src/exchange/index.ts";
import { silentLog } from "../../../src/log.ts";
import { get, reply } from "./face-messages.ts";
import { dial, faceRig, raw, textOf, until } from "./rig.ts";

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

test("a body that comes at once in chunks of any size arrives whole", async () => {
  await using face = createHttpFace<string>({
    log: silentLog(),
    handle: async ({ body }) => reply(body === null ? "" : String((await textOf(body)).length)),
  });
  for (const size of [1, 100, 3_000, 20_000]) {
    const [caller, served] = duplexPair();
    face.serve(served, "context");
    const chunk = `${size.toString(16)}\r\n${"b".repeat(size)}\r\n`;
    const head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    caller.write(`${head}${chunk.repeat(6)}0\r\n\r\n`);
    assert.match(await textOf(caller), new RegExp(`\r\n${6 * size}(\r\n|$)`));
  }
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

test("over a stream a body that is malformed in the piece of its head reaches nobody", async () => {
  const seen: string[] = [];
  await using rig = await faceRig({
    handle: async ({ target, body }) => {
      seen.push(target);
      seen.push(body === null ? "" : await textOf(body));
      return reply("ok");
    },
  });
  const sent = async (bytes: string): Promise<string> => {
    const [near, far] = duplexPair();
    rig.face.serve(far, "context");
    near.end(bytes);
    return await textOf(near);
  };
  const head = "POST /chunked HTTP/1.1\r\nHost: docs.test\r\nTransfer-Encoding: chunked\r\n\r\n";
  await sent(`${head}4\r\nbody\r\nnot a length\r\n\r\n`);
  assert.deepEqual(seen, []);
  assert.match(await sent(`${head}4\r\nbody\r\n0\r\n\r\n`), /^HTTP\/1\.1 200 /, "control");
  assert.deepEqual(seen, ["/chunked", "body"]);
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
  const path = await raw(rig.port, get("http://other.test/a?q", "Connection: close"));
  assert.equal(JSON.parse(path.slice(path.indexOf("{"))).target, "/a?q");
});

test("a target as long as it may be is taken, a longer one and a caller's odd id are not", async () => {
  await using rig = await faceRig(
    { handle: async ({ id, target }) => reply(`${id} ${target.length}`) },
    { maxTargetBytes: 100, keepRequestId: true },
  );
  const sent = (length: number, id: string): Promise<string> =>
    raw(rig.port, get(`/${"x".repeat(length - 1)}`, `x-request-id: ${id}`, "Connection: close"));
  assert.match(await sent(100, "kept-as-it-is"), /kept-as-it-is 100$/);
  assert.match(await sent(101, "kept-as-it-is"), /^HTTP\/1\.1 400 /);
  for (const id of ["short", "x".repeat(65), "with space"])
    assert.match(await sent(1, id), /\n[0-9a-f]{8}-[0-9a-f-]{27} 1$/);
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

test("an upgrade is shown to the handler, and h2c overlooked", async () => {
  await using rig = await faceRig({ handle: async ({ upgrade }) => reply(String(upgrade)) });
  const asked = (name: string): string => get("/", `Upgrade: ${name}`, "Connection: upgrade, close");
  assert.match(await raw(rig.port, asked("websocket")), /websocket$/);
  assert.match(await raw(rig.port, asked("h2c")), /null$/);
});
