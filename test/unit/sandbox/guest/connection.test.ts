import assert from "node:assert/strict";
import { Duplex, duplexPair } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isError } from "../../../../src/errors.ts";
import type { Exec, ExecSpec, Guest } from "../../../../src/sandbox/contract.ts";
import { connectGuest, encodeFrame, guestFrames, hostFrames } from "../../../../src/sandbox/guest/index.ts";

const hello = encodeFrame(guestFrames.hello, 0, Buffer.from("000100000001", "hex"));
const spec: ExecSpec = { argv: ["x"], env: {}, cwd: "/", stdin: "pipe" };
const started = (id = 1): Buffer => encodeFrame(guestFrames.started, id, Buffer.alloc(4));
const eof = (stream: number, id = 1): Buffer => encodeFrame(guestFrames.eof, id, Buffer.of(stream));
const exit = (kind = 0, value = 0, usage = Buffer.alloc(16)): Buffer =>
  encodeFrame(guestFrames.exit, 1, Buffer.concat([Buffer.of(kind, value), usage]));
const stdout = (bytes: number, id = 1): Buffer =>
  encodeFrame(guestFrames.stdout, id, Buffer.alloc(bytes, 97));

interface Fake extends Disposable {
  guest: Guest;
  /** Plays the guest's side */
  far: Duplex;
  link: Duplex;
}

async function fake(): Promise<Fake> {
  const [link, far] = duplexPair();
  far.on("error", () => undefined);
  far.resume();
  far.write(hello);
  const guest = await connectGuest({ stream: link, diagnostics: () => "it said this" });
  return { guest, far, link, [Symbol.dispose]: () => guest.close() };
}

async function running(): Promise<Fake & { exec: Exec }> {
  const parts = await fake();
  const asked = parts.guest.exec(spec);
  parts.far.write(started());
  return { ...parts, exec: await asked };
}

const breaches: Record<string, Buffer> = {
  noise: Buffer.from("not a frame at all"),
  "a second hello": hello,
  "an id nobody uses": started(9),
  "a second start": started(),
  "a failure after the start": encodeFrame(guestFrames.failed, 1, Buffer.alloc(5)),
  "a stream that ends twice": Buffer.concat([eof(1), eof(1)]),
  "a stream that does not exist": eof(3),
  "output after its end": Buffer.concat([eof(1), stdout(1)]),
  "two exits": Buffer.concat([exit(), exit()]),
  "an exit of no kind": exit(2),
  "usage beyond all numbers": exit(0, 0, Buffer.alloc(16, 0xff)),
  "output beyond its credit": Buffer.concat(Array.from({ length: 17 }, () => stdout(65_536))),
  "tiny output beyond its credit": Buffer.concat(Array.from({ length: 4_081 }, () => stdout(1))),
  "credit for bytes it was never sent": encodeFrame(guestFrames.credit, 1, Buffer.from("00000001", "hex")),
  "file bytes for an exec": encodeFrame(guestFrames.data, 1, Buffer.of(1)),
};

for (const [name, bytes] of Object.entries(breaches)) {
  test(`the conversation ends with guest_violation on ${name}`, async () => {
    using parts = await running();
    const { guest, far, exec, link } = parts;
    const other = guest.files.stat("f");
    far.write(bytes);
    assert.ok(isError(await guest.closed, "guest_violation"));
    await assert.rejects(other, (error) => isError(error, "guest_violation"));
    await assert.rejects(Array.fromAsync(exec.output), (error) => isError(error, "guest_violation"));
    await assert.rejects(exec.stdin.write(Buffer.of(1)), (error) => isError(error, "guest_violation"));
    await assert.rejects(guest.exec(spec), (error) => isError(error, "guest_violation"));
    assert.ok(link.destroyed);
  });
}

const fileBreaches: Record<string, { ask: (guest: Guest) => Promise<unknown>; answer: Buffer }> = {
  "a stat with half an answer": {
    ask: (guest) => guest.files.stat("f"),
    answer: encodeFrame(guestFrames.done, 1, Buffer.alloc(20)),
  },
  "a stat of no type": {
    ask: (guest) => guest.files.stat("f"),
    answer: encodeFrame(guestFrames.done, 1, Buffer.alloc(21)),
  },
  "an answer where none is due": {
    ask: (guest) => guest.files.mkdir("f"),
    answer: encodeFrame(guestFrames.done, 1, Buffer.alloc(1)),
  },
  "bytes for a call that takes none": {
    ask: (guest) => guest.files.mkdir("f"),
    answer: encodeFrame(guestFrames.data, 1, Buffer.alloc(1)),
  },
  "more of a file than was asked for": {
    ask: (guest) => Array.fromAsync(guest.files.get("f", 10)),
    answer: encodeFrame(guestFrames.data, 1, Buffer.alloc(11)),
  },
  "a listing that is cut off": {
    ask: (guest) => guest.files.list("f"),
    answer: encodeFrame(guestFrames.data, 1, Buffer.alloc(22)),
  },
  "a listing with a path for a name": {
    ask: (guest) => guest.files.list("f"),
    answer: encodeFrame(
      guestFrames.data,
      1,
      Buffer.concat([Buffer.of(1), Buffer.alloc(20), Buffer.of(0, 3), Buffer.from("../")]),
    ),
  },
};

for (const [name, { ask, answer }] of Object.entries(fileBreaches)) {
  test(`the conversation ends with guest_violation on ${name}`, async () => {
    using parts = await fake();
    const asked = ask(parts.guest);
    await Promise.all([
      assert.rejects(asked, (error) => isError(error, "guest_violation")),
      new Promise(setImmediate).then(() => parts.far.write(answer)),
    ]);
    assert.ok(isError(await parts.guest.closed, "guest_violation"));
  });
}

test("a guest of another version is refused", async () => {
  const [link, far] = duplexPair();
  far.write(encodeFrame(guestFrames.hello, 0, Buffer.from("000200000001", "hex")));
  const refused = connectGuest({ stream: link, diagnostics: () => "" });
  await assert.rejects(refused, (error) => isError(error, "guest_violation"));
  assert.ok(link.destroyed);
});

test("a guest that speaks before its hello is refused", async () => {
  const [link, far] = duplexPair();
  far.write(started());
  const refused = connectGuest({ stream: link, diagnostics: () => "" });
  await assert.rejects(refused, (error) => isError(error, "guest_violation"));
});

test("a guest that says nothing is given up on, by time or by signal", async () => {
  const [slow, cut] = [duplexPair()[0], duplexPair()[0]];
  const late = connectGuest({ stream: slow, diagnostics: () => "" }, { helloTimeoutMs: 10 });
  await assert.rejects(late, (error) => isError(error, "deadline_exceeded"));
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await assert.rejects(
    connectGuest({ stream: cut, diagnostics: () => "" }, { signal }),
    (error) => error === reason,
  );
  assert.ok(slow.destroyed && cut.destroyed);
});

test("the time of a guest counts from its start on, and it may be quicker than the answer to that", async () => {
  const start = Promise.withResolvers<void>();
  const [link, far] = duplexPair();
  const options = { started: start.promise, helloTimeoutMs: 50 };
  const meeting = connectGuest({ stream: link, diagnostics: () => "" }, options);
  await sleep(100);
  far.write(hello);
  (await meeting).close();
});

test("a guest whose start failed is not waited for", async () => {
  const [link] = duplexPair();
  const started = Promise.reject(new Error("no such program"));
  const meeting = connectGuest({ stream: link, diagnostics: () => "" }, { started });
  await assert.rejects(meeting, { message: "no such program" });
  assert.ok(link.destroyed);
});

test("the end of the link closes cleanly and names what the guest said last", async () => {
  const { guest, far, exec } = await running();
  far.end();
  assert.equal(await guest.closed, undefined);
  await assert.rejects(
    exec.exit,
    (error) => isError(error, "sandbox_lost") && error.details["diagnostics"] === "it said this",
  );
});

for (const code of ["EPIPE", "ECONNRESET"]) {
  test(`${code} on the link is a close, not a crash`, async () => {
    const { guest, link, exec } = await running();
    link.destroy(Object.assign(new Error(code), { code }));
    assert.equal(await guest.closed, undefined);
    await assert.rejects(exec.exit, (error) => isError(error, "sandbox_lost"));
    guest.killAll();
    exec.killTree();
  });
}

test("close ends every pending call", async () => {
  const { guest, exec } = await running();
  guest.close();
  assert.equal(await guest.closed, undefined);
  await assert.rejects(exec.exit, (error) => isError(error, "sandbox_lost"));
  await assert.rejects(Array.fromAsync(exec.output), (error) => isError(error, "sandbox_lost"));
});

test("credit is given only as output is consumed, never more than the window", async () => {
  using parts = await running();
  const { far, exec } = parts;
  let granted = 0;
  far.on("data", (chunk: Buffer) => {
    if (chunk.readUInt8(0) === hostFrames.credit) granted += chunk.readUInt32BE(9);
  });
  for (let i = 0; i < 15; i++) far.write(stdout(65_536));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(granted, 0);
  for (let i = 0; i < 15; i++) await exec.output[Symbol.asyncIterator]().next();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(granted > 0 && granted <= 15 * (65_536 + 256));
});

test("output that waits keeps no more than itself alive", async () => {
  using parts = await running();
  const { far, exec } = parts;
  // A small frame in a large chunk: the chunk must not live as long as the frame does.
  const large = Buffer.concat([
    stdout(10),
    ...Array.from({ length: 5_000 }, () => encodeFrame(guestFrames.inputClosed, 1)),
  ]);
  far.write(large);
  const next = await exec.output[Symbol.asyncIterator]().next();
  assert.ok(next.done !== true && next.value.bytes.buffer.byteLength < 1_000);
});

test("a consumer that stops early lets the rest go by, and the exit still comes", async () => {
  using parts = await running();
  const { far, exec } = parts;
  far.write(stdout(1000));
  for await (const chunk of exec.output) {
    assert.equal(chunk.bytes.length, 1000);
    break;
  }
  let granted = 0;
  far.on("data", (chunk: Buffer) => {
    if (chunk.readUInt8(0) === hostFrames.credit) granted += chunk.readUInt32BE(9);
  });
  for (let i = 0; i < 12; i++) far.write(stdout(65_536));
  far.write(Buffer.concat([eof(1), eof(2), exit(1, 15)]));
  assert.equal((await exec.exit).signal, "SIGTERM");
  assert.ok(granted > 0);
});

test("a write waits for room and goes on when the guest gives credit", async () => {
  using parts = await running();
  const { far, exec } = parts;
  let received = 0;
  await new Promise(setImmediate);
  far.on("data", (chunk: Buffer) => (received += chunk.length));
  let done = false;
  const written = exec.stdin.write(Buffer.alloc(300_000)).then(() => (done = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(done, false);
  assert.equal(received, 262_144 + 4 * 9);
  const credit = Buffer.alloc(4);
  credit.writeUInt32BE(65_536);
  far.write(encodeFrame(guestFrames.credit, 1, credit));
  await written;
  await new Promise(setImmediate);
  assert.equal(received, 300_000 + 5 * 9);
});
