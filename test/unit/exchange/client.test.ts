import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { deferred } from "../../../src/async/index.ts";
import { isError, SallyportError } from "../../../src/errors.ts";
import { bytesBody, headerOf } from "../../../src/exchange/index.ts";
import { aRequest, clientTo, dial, faceRig, listening, textOf, until } from "./rig.ts";

const live = (): AbortSignal => new AbortController().signal;
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Answers each request with `bytes` and counts connections. */
async function answering(bytes: string, then?: (socket: Socket) => void) {
  const seen = { connections: 0, text: "" };
  const door = await listening((socket) => {
    seen.connections += 1;
    socket.on("data", (chunk: Buffer) => {
      seen.text += chunk.toString("latin1");
      if (!/\r\n\r\n/.test(seen.text)) return;
      socket.write(bytes, () => then?.(socket));
    });
  });
  return { ...door, seen };
}

const failing = async (promise: Promise<unknown>): Promise<SallyportError> => {
  const error: unknown = await promise.then(
    () => assert.fail("it did not fail"),
    (cause: unknown) => cause,
  );
  assert.ok(isError(error), String(error));
  return error;
};

test("a request goes out with its host, its id and a trace, and connections are used again", async () => {
  await using upstream = await answering(ok);
  await using client = clientTo(upstream.port);
  for (const target of ["/one", "/two"]) {
    const response = await client.forward(aRequest({ target, headers: [["x-own", "1"]] }), live());
    assert.equal(await textOf(response.body), "ok");
    await new Promise(setImmediate);
  }
  assert.equal(upstream.seen.connections, 1);
  assert.match(upstream.seen.text, /^GET \/one HTTP\/1\.1\r\nhost: docs\.test\r\n/);
  assert.match(
    upstream.seen.text,
    /\r\nx-own: 1\r\nx-request-id: request-1\r\ntraceparent: 00-\w{32}-\w{16}-01\r\n/,
  );
  assert.equal(client.active, 0);
});

test("one valid traceparent is kept; of any other the upstream sees none", async () => {
  await using upstream = await answering(ok);
  await using client = clientTo(upstream.port);
  const [trace, span] = ["a".repeat(32), "b".repeat(16)];
  const seenOf = async (...given: string[]): Promise<(string | undefined)[]> => {
    upstream.seen.text = "";
    const response = await client.forward(
      aRequest({ headers: given.map((value) => ["traceparent", value]) }),
      live(),
    );
    await textOf(response.body);
    return [...upstream.seen.text.matchAll(/traceparent: (.*)\r\n/g)].map((found) => found[1]);
  };
  const valid = `00-${trace}-${span}-01`;
  assert.deepEqual(await seenOf(valid), [valid]);
  const invalid = [
    `ff-${trace}-${span}-01`,
    `00-${"0".repeat(32)}-${span}-01`,
    `00-${trace}-${"0".repeat(16)}-01`,
  ];
  for (const given of [...invalid.map((each) => [each]), [valid, `00-${span}${span}-${span}-01`]]) {
    const seen = await seenOf(...given);
    assert.equal(seen.length, 1, given.join());
    assert.ok(!given.includes(seen[0] ?? ""), given.join());
  }
});

test("a body keeps its length, or is chunked for every method, and none is never left open", async () => {
  await using rig = await faceRig({
    handle: async ({ body, headers }) => ({
      status: 200,
      headers: [["x-length", String(headerOf(headers, "content-length"))]],
      body: body ?? bytesBody(Buffer.from("none")),
    }),
  });
  await using client = clientTo(rig.port);
  const send = async (method: string, length: string | null, body: string | null) => {
    const response = await client.forward(
      aRequest({
        method,
        headers: length === null ? [] : [["content-length", length]],
        body: body === null ? null : bytesBody(Buffer.from(body)),
      }),
      live(),
    );
    return [headerOf(response.headers, "x-length"), await textOf(response.body)];
  };
  assert.deepEqual(await send("POST", "5", "hello"), ["5", "hello"]);
  assert.deepEqual(await send("DELETE", null, "hello"), ["undefined", "hello"]);
  assert.deepEqual(await send("GET", null, "hello"), ["undefined", "hello"]);
  assert.deepEqual(await send("POST", "7", null), ["0", "none"]);
  assert.deepEqual(await send("GET", "7", null), ["undefined", "none"]);
});

test("a failure before a connection is there says that nothing was sent", async () => {
  const refused = new SallyportError("upstream_address_denied", "no", { details: { layer: "ip" } });
  await using client = clientTo(0, { connect: () => Promise.reject(refused) });
  const error = await failing(client.forward(aRequest(), live()));
  assert.deepEqual([error.code, error.details], ["upstream_address_denied", { layer: "ip", sent: false }]);
  await using other = clientTo(0, { connect: () => Promise.reject(new Error("no")), layer: "dial" });
  const unknown = await failing(other.forward(aRequest(), live()));
  assert.deepEqual([unknown.code, unknown.details], ["upstream_unreachable", { layer: "dial", sent: false }]);
});

test("what breaks afterwards is a typed failure that says so, and nothing is sent twice", async (t) => {
  const cases: Record<string, (socket: Socket) => void> = {
    reset: (socket) => socket.resetAndDestroy(),
    closed: (socket) => void socket.end(),
    garbage: (socket) => void socket.end("SSH-2.0-OpenSSH\r\n"),
    "half a head": (socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-"),
    "two framings": (socket) =>
      void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "another protocol": (socket) =>
      void socket.write("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "another protocol, unnamed": (socket) => void socket.write("HTTP/1.1 101 Switching\r\n\r\n"),
    "a status that is none": (socket) => void socket.write("HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n"),
    "a huge head": (socket) => void socket.write(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}\r\n\r\n`),
  };
  for (const [name, fault] of Object.entries(cases)) {
    await t.test(name, async () => {
      let requests = 0;
      await using upstream = await listening((socket) =>
        socket.once("data", () => {
          requests += 1;
          fault(socket);
        }),
      );
      await using client = clientTo(upstream.port);
      const error = await failing(client.forward(aRequest(), live()));
      assert.deepEqual([error.code, error.details], ["upstream_failed", { layer: "upstream", sent: true }]);
      assert.equal(error.message.includes("longer than 65536 bytes"), name === "a huge head", error.message);
      assert.equal(requests, 1);
      assert.equal(client.active, 0);
    });
  }
});

test("a connection that idled and breaks with the next request is told apart", async () => {
  let requests = 0;
  await using upstream = await listening((socket) =>
    socket.on("data", () => {
      requests += 1;
      if (requests === 1) socket.write(ok);
      else socket.resetAndDestroy();
    }),
  );
  await using client = clientTo(upstream.port);
  await textOf((await client.forward(aRequest(), live())).body);
  await new Promise(setImmediate);
  const error = await failing(client.forward(aRequest(), live()));
  assert.deepEqual(error.details, { layer: "upstream", sent: true, stale: true });
  assert.equal(requests, 2);
});

test("bytes that come while a connection idles are not taken for the next reply", async () => {
  let connections = 0;
  await using upstream = await listening((socket) => {
    connections += 1;
    const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    socket.on("data", () => void socket.write(ok, () => setTimeout(() => socket.write(forged), 15)));
  });
  await using client = clientTo(upstream.port);
  assert.equal(await textOf((await client.forward(aRequest(), live())).body), "ok");
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(await textOf((await client.forward(aRequest(), live())).body), "ok");
  assert.equal(connections, 2);
});

test("an upstream that does not answer in time is given up", async () => {
  const closed = deferred<void>();
  await using upstream = await listening((socket) => {
    socket.resume();
    socket.once("end", () => closed.resolve());
  });
  await using client = clientTo(upstream.port, { responseHeaderMs: 30 });
  const error = await failing(client.forward(aRequest(), live()));
  assert.deepEqual([error.code, error.details], ["deadline_exceeded", { layer: "upstream", sent: true }]);
  await closed.promise;
});

test("a signal gives a request up before and after its reply began", async () => {
  const closed = [deferred<void>(), deferred<void>()];
  let connections = 0;
  await using upstream = await listening((socket) => {
    const mine = closed[connections++];
    socket.once("end", () => mine?.resolve());
    socket.on("data", () => connections === 2 && socket.write("HTTP/1.1 200 OK\r\n\r\nsome"));
  });
  await using client = clientTo(upstream.port);
  const first = new AbortController();
  const waiting = client.forward(aRequest(), first.signal);
  setTimeout(() => first.abort(new SallyportError("cancelled", "mine")), 10);
  assert.equal((await failing(waiting)).message, "mine");
  await closed[0]?.promise;

  const second = new AbortController();
  const { body } = await client.forward(aRequest(), second.signal);
  await once(body, "data");
  second.abort(new SallyportError("cancelled", "mine too"));
  await assert.rejects(textOf(body), /mine too/);
  await closed[1]?.promise;
  assert.equal(client.active, 0);
});

test("a reply that breaks off destroys its body with an error", async () => {
  await using upstream = await answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", (socket) =>
    socket.destroy(),
  );
  await using client = clientTo(upstream.port);
  const { body } = await client.forward(aRequest(), live());
  await assert.rejects(textOf(body));
});

test("a reply without a length that a reset ends is not taken for whole", async () => {
  const answer = deferred<Socket>();
  await using broken = await answering("HTTP/1.1 200 OK\r\n\r\nhalf", (socket) => answer.resolve(socket));
  await using client = clientTo(broken.port);
  const response = await client.forward(aRequest(), live());
  (await answer.promise).resetAndDestroy();
  await assert.rejects(textOf(response.body));
  await using ended = await answering("HTTP/1.1 200 OK\r\n\r\nwhole", (socket) => void socket.end());
  await using other = clientTo(ended.port);
  assert.equal(await textOf((await other.forward(aRequest(), live())).body), "whole");
});

test("no header of a reply is left out, however many there are", async () => {
  const many = "a: b\r\n".repeat(2_500);
  await using upstream = await answering(
    `HTTP/1.1 200 OK\r\n${many}x-last: 1\r\nContent-Length: 2\r\n\r\nok`,
  );
  await using client = clientTo(upstream.port);
  const { headers } = await client.forward(aRequest(), live());
  assert.deepEqual([headers.length, headerOf(headers, "x-last")], [2_502, "1"]);
});

test("a request's body that breaks off gives the request up", async () => {
  const closed = deferred<void>();
  await using upstream = await listening((socket) => {
    socket.resume();
    socket.once("end", () => closed.resolve());
  });
  await using client = clientTo(upstream.port);
  const body = new PassThrough();
  body.write("some");
  const error = failing(client.forward(aRequest({ method: "POST", body }), live()));
  setTimeout(() => body.destroy(new Error("gone")), 10);
  assert.equal((await error).code, "cancelled");
  await closed.promise;
});

test("no more connections than allowed are opened, and who cannot wait is told", async () => {
  let connections = 0;
  await using rig = await faceRig({
    handle: async () => ({ status: 200, headers: [], body: bytesBody(Buffer.from("ok")) }),
  });
  const connect = async () => {
    connections += 1;
    return await dial(rig.port);
  };
  await using client = clientTo(rig.port, { connect, maxConnections: 2, maxWaiting: 3 });
  const results = await Promise.allSettled(
    Array.from({ length: 6 }, async () => await textOf((await client.forward(aRequest(), live())).body)),
  );
  assert.equal(connections, 2);
  const refused = results.filter((result) => result.status === "rejected");
  assert.equal(refused.length, 1);
  assert.ok(isError(refused[0]?.reason, "capacity_exhausted"));
  assert.equal(refused[0].reason.details["sent"], false);
});

test("draining waits for the last byte of every reply", async () => {
  const body = new PassThrough();
  await using rig = await faceRig({ handle: async () => ({ status: 200, headers: [], body }) });
  await using client = clientTo(rig.port);
  const response = await client.forward(aRequest(), live());
  let isDrained = false;
  const drained = client.drain().then(() => (isDrained = true));
  await new Promise(setImmediate);
  assert.equal(isDrained, false);
  body.end("end");
  assert.equal(await textOf(response.body), "end");
  await drained;
});

test("a face behind a client carries a large body both ways and an early reply", async () => {
  await using inner = await faceRig({
    handle: async ({ body, target }) =>
      target === "/early"
        ? { status: 413, headers: [], body: bytesBody(Buffer.from("no")) }
        : { status: 200, headers: [], body: body ?? bytesBody(Buffer.alloc(0)) },
  });
  await using client = clientTo(inner.port);
  await using outer = await faceRig({
    handle: (request, _context, signal) => client.forward(request, signal),
  });
  const size = 8 * 2 ** 20;
  const socket = await dial(outer.port);
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${size}\r\n\r\n`);
  socket.write(Buffer.alloc(size, "x"));
  const text = await textOf(socket);
  assert.ok(text.length > size);
  assert.match(text.slice(0, 40), /^HTTP\/1\.1 200/);
  const early = await dial(outer.port);
  early.write("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nsome");
  assert.match(await until(early, /\r\n\r\n/), /^HTTP\/1\.1 413/);
  early.destroy();
});
