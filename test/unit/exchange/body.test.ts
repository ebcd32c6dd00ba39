import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { bytesBody, pump, takeWhole, wholeLength } from "../../../src/exchange/body.ts";

const quiet = (): PassThrough => new PassThrough().on("error", () => undefined);

test("a body that is here as a whole says so until somebody reads it, and is taken once", async () => {
  const bytes = Buffer.from("whole");
  assert.equal(wholeLength(bytesBody(bytes)), 5);
  const body = bytesBody(bytes);
  assert.equal(takeWhole(body), bytes);
  assert.deepEqual([wholeLength(body), takeWhole(body)], [null, null]);
  await once(body, "end");
  const begun = bytesBody(bytes);
  begun.on("data", () => undefined);
  const gone = bytesBody(bytes);
  gone.destroy();
  for (const other of [begun, gone, Readable.from([bytes])])
    assert.deepEqual([wholeLength(other), takeWhole(other)], [null, null]);
  assert.equal((await buffer(bytesBody(new Uint8Array()))).length, 0);
});

test("a body is carried on whole, each chunk told of before it goes, and its end ends the other", async () => {
  const told: number[] = [];
  const to = new PassThrough();
  const from = Readable.from([Buffer.from("a"), Buffer.from("b")], { objectMode: false });
  const carried = pump(from, to, { onChunk: () => told.push(to.readableLength) });
  assert.equal((await buffer(to)).toString(), "ab");
  await carried;
  assert.deepEqual(told, [0, 1]);
});

test("a body that breaks off, before or after it is carried, with a reason or without, rejects and leaves the other", async () => {
  for (const reason of [undefined, new Error("reset")]) {
    const [early, late, to] = [quiet(), quiet(), quiet()];
    early.destroy(reason);
    await new Promise((resolve) => early.once("close", resolve));
    await assert.rejects(pump(early, to));
    const carried = pump(late, to);
    late.write("half");
    late.destroy(reason);
    await assert.rejects(carried, reason === undefined ? /broke off/ : /reset/);
    assert.equal(to.destroyed, false);
    assert.equal(to.listenerCount("drain"), 0, "nothing is left on it");
  }
});

test("who no longer takes a body ends it, and that is no failure", async () => {
  const [from, to] = [quiet(), quiet()];
  const carried = pump(from, to);
  to.destroy();
  await carried;
  assert.ok(from.destroyed);
});

test("no more is read than is taken", async () => {
  let release: (() => void) | undefined;
  const to = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void (release = done) });
  const from = new PassThrough();
  const carried = pump(from, to);
  from.write("one");
  await new Promise(setImmediate);
  assert.equal(from.isPaused(), true);
  release?.();
  await new Promise(setImmediate);
  assert.equal(from.isPaused(), false);
  from.end();
  await carried;
});
