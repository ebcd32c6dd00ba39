/** Byte streams inside WebSockets, from a client of ours. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { WebSocket } from "ws";
import { deferred } from "../../../src/async/index.ts";
import { acceptByteStreams } from "../../../src/channel/web-sockets.ts";

test("a stream that nobody reads holds no more frames than came in one piece, however small they are", async () => {
  await using server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const opened = deferred<Duplex>();
  await using _streams = acceptByteStreams(server, (bytes) => opened.resolve(bytes));
  const { port } = server.address() as AddressInfo;
  const caller = new WebSocket(`ws://127.0.0.1:${port}/`);
  caller.on("error", () => undefined);
  await once(caller, "open");
  const bytes = await opened.promise;
  bytes.on("error", () => undefined);
  for (let at = 0; at < 100_000; at += 1) caller.send(Buffer.from("x"));
  for (let held = -1; held !== bytes.readableLength;) {
    held = bytes.readableLength;
    for (let turn = 0; turn < 200; turn += 1) await setImmediate();
  }
  const held = bytes.readableLength;
  caller.terminate();
  assert.ok(held < 20_000, `${held} frames`);
});
