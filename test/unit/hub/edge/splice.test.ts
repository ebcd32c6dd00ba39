import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { withDeadline } from "../../../../src/async/index.ts";
import { splice } from "../../../../src/hub/edge/splice.ts";

/** A caller over TCP, joined to a far end that says `words` and, with `ends`, that this is all; `far.destroy(error)` breaks it. */
async function joined({ words, ends }: { words: Buffer; ends: boolean }): Promise<{
  caller: Socket;
  far: Duplex;
  over: Promise<void>;
}> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const taken = once(server, "connection") as Promise<[Socket]>;
  const { port } = server.address() as AddressInfo;
  const caller = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [socket] = await taken;
  server.close();
  const far = new Duplex({
    allowHalfOpen: true,
    read: () => undefined,
    write: (_chunk, _coding, done) => done(),
  });
  const over = splice(socket, far);
  far.push(words);
  if (ends) {
    far.push(null);
    await once(far, "end");
  }
  return { caller, far, over };
}

const words = Buffer.alloc(2 ** 20, "w");

test("a caller that was given the whole reply keeps it when the way breaks behind it", async () => {
  const { caller, far, over } = await joined({ words, ends: true });
  far.destroy(new Error("the far end reads no more"));
  const read = await withDeadline(buffer(caller), 5_000, "the reply");
  assert.ok(read.equals(words), `${read.length} bytes`);
  caller.destroy();
  await withDeadline(over, 5_000, "the end of both");
});

test("a caller whose reply breaks off is told by a reset (control)", async () => {
  const { caller, far, over } = await joined({ words, ends: false });
  const read = buffer(caller);
  await once(caller, "data");
  far.destroy(new Error("broken"));
  await assert.rejects(withDeadline(read, 5_000, "a reset"), { code: "ECONNRESET" });
  await withDeadline(over, 5_000, "the end of both");
});
