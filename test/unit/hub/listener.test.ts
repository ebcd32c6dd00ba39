import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type AddressInfo, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { Listener } from "../../../src/hub/listener.ts";

test("a connection that does not get to the end of a head is closed, one with a slow body is not", async (t) => {
  const listener = new Listener(
    (request, reply) => void text(request).then((body) => reply.setHeader("connection", "close").end(body)),
    { tls: undefined, headMs: 200 },
  );
  listener.server.listen(0, "127.0.0.1");
  await once(listener.server, "listening");
  t.after(() => listener.server.close());
  const { port } = listener.server.address() as AddressInfo;
  const dial = (bytes: string): Socket => {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.write(bytes);
    return socket;
  };
  const slow = dial("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na");
  const signal = AbortSignal.timeout(10_000);
  for (const bytes of ["", "GET / HTTP/1.1\r\nhost: a\r\n"]) {
    await once(dial(bytes).resume(), "close", { signal });
  }
  slow.write("b");
  assert.match(await text(slow), /^HTTP\/1\.1 200 [^]*\r\n\r\nab$/);
});
