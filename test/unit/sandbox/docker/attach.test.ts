import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import { createLink, Demux } from "../../../../src/sandbox/docker/attach.ts";
import { isError } from "../../../../src/errors.ts";

const frame = (stream: number, payload: Uint8Array): Buffer => {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
};

const cutAt = (bytes: Buffer, cuts: number[]): Buffer[] => {
  const edges = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
};

test("any frames cut anywhere come out as the bytes of their streams", () => {
  const frames = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 40 })), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { maxLength: 20 }), (sent, cuts) => {
      const got: Record<number, Buffer[]> = { 1: [], 2: [] };
      const demux = new Demux();
      const wire = Buffer.concat(sent.map(([stream, payload]) => frame(stream, payload)));
      for (const piece of cutAt(wire, cuts)) demux.feed(piece, (stream, bytes) => got[stream]?.push(bytes));
      for (const stream of [1, 2]) {
        const want = Buffer.concat(sent.filter(([of]) => of === stream).map(([, payload]) => payload));
        assert.deepEqual(Buffer.concat(got[stream] ?? []), want);
      }
    }),
  );
});

test("an unknown stream is a violation, whatever else comes", () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 255 }), fc.uint8Array({ maxLength: 30 }), (stream, payload) => {
      assert.throws(
        () => new Demux().feed(frame(stream, payload), () => undefined),
        (error) => isError(error, "guest_violation"),
      );
    }),
  );
});

interface FakeConnection {
  socket: Duplex;
  fromEngine: PassThrough;
  toEngine: PassThrough;
}

function connection(): FakeConnection {
  const fromEngine = new PassThrough();
  const toEngine = new PassThrough();
  return { socket: Duplex.from({ readable: fromEngine, writable: toEngine }), fromEngine, toEngine };
}

test("stdout is the link's stream, stderr its diagnostics, bounded", async () => {
  const { socket, fromEngine } = connection();
  const link = createLink(socket);
  fromEngine.write(frame(2, Buffer.alloc(200_000, "x")));
  fromEngine.write(frame(2, Buffer.from("last words")));
  fromEngine.end(frame(1, Buffer.from("out")));
  assert.equal(Buffer.concat(await link.stream.toArray()).toString(), "out");
  assert.ok(link.diagnostics().endsWith("last words"));
  assert.ok(link.diagnostics().length <= 16 * 1024);
});

test("what is written goes to the connection as it is", async () => {
  const { socket, toEngine } = connection();
  const link = createLink(socket);
  link.stream.write(Buffer.from("a"));
  link.stream.write(Buffer.from("b"));
  link.stream.end(Buffer.from("c"));
  assert.equal(Buffer.concat(await toEngine.toArray()).toString(), "abc");
  link.stream.destroy();
});

test("a reader that does not read pauses the connection", async () => {
  const { socket, fromEngine } = connection();
  const link = createLink(socket);
  const block = frame(1, Buffer.alloc(32 * 1024));
  let taken = 0;
  while (taken < 200 && fromEngine.write(block)) {
    taken += 1;
    await new Promise(setImmediate);
  }
  assert.ok(taken < 200, "the writer was told to wait");
  assert.ok(link.stream.readableLength <= 256 * 1024);
  link.stream.destroy();
});

test("a violation ends the link and closes the connection", async () => {
  const { socket, fromEngine } = connection();
  const link = createLink(socket);
  fromEngine.write(frame(9, Buffer.from("?")));
  const [error] = (await once(link.stream, "error")) as [Error];
  assert.ok(isError(error, "guest_violation"));
  assert.ok(socket.destroyed);
});
