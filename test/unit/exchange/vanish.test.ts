/** Callers and upstreams that go away at any moment leave nothing behind (S-46). */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import { withDeadline } from "../../../src/async/index.ts";
import { bytesBody } from "../../../src/exchange/index.ts";
import { clientTo, dial, faceRig, listening, textOf } from "./rig.ts";

const rounds = 40;

const ways: Record<string, (socket: Socket) => Promise<unknown>> = {
  "reset before the request is whole": async (socket) => {
    socket.write("GET / HTTP/1.1\r\nHo");
    socket.resetAndDestroy();
  },
  "reset during the upload": async (socket) => {
    socket.write("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome");
    await new Promise(setImmediate);
    socket.resetAndDestroy();
  },
  "reset during the download": async (socket) => {
    socket.write("GET /down HTTP/1.1\r\nHost: a\r\n\r\n");
    await once(socket, "data");
    socket.resetAndDestroy();
  },
  "close while the upstream thinks": async (socket) => {
    socket.write("GET /think HTTP/1.1\r\nHost: a\r\n\r\n");
    await new Promise(setImmediate);
    socket.destroy();
  },
  "half-close after the request": async (socket) => {
    socket.end("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.match(await textOf(socket), /ok$/);
  },
};

test("whatever way callers leave, no request and no connection stays", async (t) => {
  for (const [name, leave] of Object.entries(ways)) {
    await t.test(name, async () => {
      const sockets = new Set<Socket>();
      await using upstream = await listening((socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
        socket.once("end", () => socket.destroy());
        socket.on("data", (chunk: Buffer) => {
          const [, path] = chunk.toString("latin1").split(" ");
          if (path === "/quick") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
          if (path === "/down") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome");
        });
      });
      await using client = clientTo(upstream.port, { idleMs: 1 });
      await using rig = await faceRig({
        handle: (request, _context, signal) => client.forward(request, signal),
      });
      await Promise.all(Array.from({ length: rounds }, async () => leave(await dial(rig.port))));
      const settled = async (): Promise<void> => {
        while (rig.face.connections + client.active + sockets.size > 0)
          await new Promise((next) => setTimeout(next, 5));
      };
      await withDeadline(settled(), 5_000, "the end of every connection");
    });
  }
});

test("an upstream that resets in mid-reply leaves its caller with a cut, never with a whole reply", async () => {
  await using upstream = await listening((socket) =>
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n");
      setTimeout(() => socket.resetAndDestroy(), 2);
    }),
  );
  await using client = clientTo(upstream.port);
  await using rig = await faceRig({
    handle: async (request, _context, signal) =>
      request.target === "/own"
        ? { status: 200, headers: [], body: bytesBody(Buffer.from("own")) }
        : await client.forward(request, signal),
  });
  for (let round = 0; round < rounds; round += 1) {
    const socket = await dial(rig.port);
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const text = await textOf(socket).catch(() => "");
    assert.doesNotMatch(text, /\r\n0\r\n\r\n$/);
  }
  assert.equal(client.active, 0);
});
