import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { sleep } from "../../src/async/index.ts";
import {
  encodeFrame,
  FrameDecoder,
  guestFrames,
  hostFrames,
  type Frame,
} from "../../src/sandbox/guest/index.ts";
import { launchGuest } from "../helpers/guest-process.ts";

const bounded = { timeout: 20_000 };

interface Raw extends AsyncDisposable {
  readonly exited: Promise<number | null>;
  readonly frames: Frame[];
  /** The program's end of the stream */
  readonly program: Socket;
  send(type: number, payload?: Buffer, id?: number): void;
  /** Waits, bounded, until the frames satisfy it */
  until(holds: (frames: Frame[]) => boolean): Promise<void>;
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** A guest spoken to by hand, with one stream open under id 1 to a program that this test plays. */
async function withStream(credit: number): Promise<Raw> {
  const process = launchGuest();
  const frames: Frame[] = [];
  const decoder = new FrameDecoder((frame) => frames.push(frame));
  process.link.stream.on("data", (chunk: Buffer) => decoder.push(chunk));
  process.link.stream.on("error", () => undefined);
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const until = async (holds: (frames: Frame[]) => boolean): Promise<void> => {
    for (let tries = 0; tries < 1000 && !holds(frames); tries++) await sleep(5);
    assert.ok(holds(frames));
  };
  const send = (type: number, payload?: Buffer, id = 1): void =>
    void process.link.stream.write(encodeFrame(type, id, payload));
  const arrived = once(server, "connection");
  const to = Buffer.concat([u32(credit), Buffer.alloc(2)]);
  to.writeUInt16BE(port, 4);
  send(hostFrames.connect, to);
  const [program] = (await arrived) as [Socket];
  program.on("error", () => undefined);
  await until((all) => all.some(({ type }) => type === guestFrames.connected));
  return {
    exited: process.exited,
    frames,
    program,
    send,
    until,
    [Symbol.asyncDispose]: async () => {
      program.destroy();
      server.close();
      await process[Symbol.asyncDispose]();
    },
  };
}

const has =
  (type: number) =>
  (frames: Frame[]): boolean =>
    frames.some((frame) => frame.type === type);

const cost = (frames: Frame[]): number =>
  frames
    .filter(({ type }) => type === guestFrames.data)
    .reduce((sum, { payload }) => sum + payload.length + 256, 0);

const breaches: Record<string, (raw: Raw) => void> = {
  "bytes after the host's end": (raw) => {
    raw.send(hostFrames.end);
    raw.send(hostFrames.data, Buffer.of(1));
  },
  "a second end": (raw) => {
    raw.send(hostFrames.end);
    raw.send(hostFrames.end);
  },
  "more bytes than there is credit for": (raw) => {
    // more than the kernel takes for a program that does not read, and the window after that
    for (let i = 0; i < 400; i++) raw.send(hostFrames.data, Buffer.alloc(65_536));
  },
  "credit beyond its bound": (raw) => {
    raw.send(hostFrames.credit, u32(0x3fff_ffff));
    raw.send(hostFrames.credit, u32(0x3fff_ffff));
  },
  "a close of no kind": (raw) => raw.send(hostFrames.close, Buffer.of(2)),
  "a signal for a stream": (raw) => raw.send(hostFrames.signal, Buffer.of(9)),
  "a stream of the guest's that it never opened": (raw) =>
    raw.send(hostFrames.close, Buffer.of(1), 0x8000_0000),
};

for (const [name, commit] of Object.entries(breaches)) {
  test(`the guest ends itself with code 70 on ${name}`, bounded, async () => {
    await using raw = await withStream(1 << 20);
    commit(raw);
    assert.equal(await raw.exited, 70);
  });
}

test("nothing is read from a connection beyond its credit, and more comes with more", bounded, async () => {
  await using raw = await withStream(10_000);
  raw.program.write(Buffer.alloc(100_000));
  await raw.until((frames) => cost(frames) > 5_000);
  await sleep(50);
  assert.ok(cost(raw.frames) <= 10_000);
  raw.send(hostFrames.credit, u32(50_000));
  await raw.until((frames) => cost(frames) > 50_000);
  assert.ok(cost(raw.frames) <= 60_000);
});

test("tiny writes use up the window by their number", bounded, async () => {
  await using raw = await withStream(20_000);
  raw.program.setNoDelay(true);
  for (let i = 0; i < 500; i++) {
    raw.program.write("x");
    await new Promise(setImmediate);
  }
  await sleep(50);
  assert.ok(cost(raw.frames) <= 20_000);
  assert.ok(raw.frames.length < 100);
});

test("a reset is told although the host gave no credit to read", bounded, async () => {
  await using raw = await withStream(0);
  raw.program.write("unread");
  raw.program.resetAndDestroy();
  await raw.until(has(guestFrames.closed));
  assert.deepEqual(raw.frames.at(-1)?.payload, u32(104));
});

test("what a program sent before its reset comes first", bounded, async () => {
  await using raw = await withStream(1 << 20);
  raw.program.write(Buffer.alloc(30_000));
  await raw.until((frames) => cost(frames) > 30_000);
  raw.program.resetAndDestroy();
  await raw.until(has(guestFrames.closed));
  assert.ok(!has(guestFrames.end)(raw.frames));
});

test("frames that crossed the end of a stream mean nothing", bounded, async () => {
  await using raw = await withStream(1 << 20);
  raw.program.resetAndDestroy();
  await raw.until(has(guestFrames.closed));
  raw.send(hostFrames.data, Buffer.alloc(1000));
  raw.send(hostFrames.credit, u32(1000));
  raw.send(hostFrames.end);
  raw.send(hostFrames.close, Buffer.of(1));
  raw.send(hostFrames.close, Buffer.of(1));
  raw.send(hostFrames.stat, Buffer.from("f\0"), 2);
  await raw.until(has(guestFrames.failed));
});

test("a close that lets all arrive waits for a slow program, a reset does not", bounded, async () => {
  for (const how of [0, 1]) {
    await using raw = await withStream(1 << 20);
    let sent = 0;
    // until the kernel takes no more and the guest keeps the rest
    for (
      const credited = (): number =>
        131_072 + 32_768 * raw.frames.filter(({ type }) => type === guestFrames.credit).length;
      ;
    ) {
      if (sent + 32_768 <= credited()) {
        raw.send(hostFrames.data, Buffer.alloc(32_768));
        sent += 32_768;
        continue;
      }
      const before = credited();
      await sleep(50);
      if (credited() === before) break;
    }
    raw.send(hostFrames.close, Buffer.of(how));
    await sleep(50);
    assert.equal(has(guestFrames.closed)(raw.frames), how === 1);
    let got = 0;
    raw.program.on("data", (chunk: Buffer) => (got += chunk.length));
    const closed = new Promise((resolve) => raw.program.once("close", resolve));
    raw.program.once("end", () => raw.program.end());
    raw.program.resume();
    await closed;
    await raw.until(has(guestFrames.closed));
    assert.equal(got === sent, how === 0);
  }
});
