import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../../src/async/index.ts";
import { SallyportError, isError } from "../../../src/errors.ts";
import type { HttpResponse } from "../../../src/exchange/index.ts";
import { get, reply } from "./face-messages.ts";
import { dial, faceRig, raw, textOf, until } from "./rig.ts";

test("more pipelined requests than allowed cut the connection", async () => {
  const never = deferred<HttpResponse>();
  await using rig = await faceRig({ handle: () => never.promise }, { maxPipelined: 2 });
  assert.equal(await raw(rig.port, get("/").repeat(4)), "");
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
