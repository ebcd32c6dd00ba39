import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { deferred } from "../../../src/async/index.ts";
import { SallyportError } from "../../../src/errors.ts";
import type { HttpResponse } from "../../../src/exchange/index.ts";
import { get, reply } from "./face-messages.ts";
import { dial, faceRig, raw, textOf, until } from "./rig.ts";

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
